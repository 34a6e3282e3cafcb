#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The run of tools/quickstart: the model learns what its preferences say, on held-out pairs and in the stories it tells.
. "$(dirname "$0")/lib.sh"

openings=("Once upon a time, there was a little girl named Lily. She loved to play outside."
    "One day, Tim went to the park with his mom.")

fact "the preferences keep their rule: nobody speaks in a chosen story, someone in a rejected one"
for file in "$TRAIN" "$EVAL"; do
    assert_equal "$(grep -c '"chosen": "[^"]*\\"' "$file" || true)" 0 "chosen stories with speech in $file"
    assert_equal "$(grep -c '"rejected": ".*\\"' "$file")" "$(count_lines "$file")" "rejected stories with speech in $file"
done
assert_equal "$(cat "$TRAIN" "$EVAL" | cut -d'"' -f4 | sort | uniq -d)" "" "openings that occur twice"

cd "$DPO_SOURCE_DIR"
ranks 2 train configs/quickstart.json --out "$SCRATCH/run" --quiet
cd "$SCRATCH"

fact "before training every reward is 0 and the loss is that of a coin"
assert_equal "$(json_first run/metrics.jsonl eval_rewards/margins)" 0 "margin before"
assert_number "$(json_first run/metrics.jsonl eval_loss)" '<' 0.69315 "loss before"
assert_number "$(json_first run/metrics.jsonl eval_loss)" '>' 0.69314 "loss before"

fact "afterwards nine of ten held-out pairs are told apart"
assert_number "$(json_last run/metrics.jsonl eval_rewards/accuracies)" '>=' 0.9 "accuracy"
assert_number "$(json_last run/metrics.jsonl eval_rewards/margins)" '>' 1 "margin"

fact "the speech is gone from its stories"
mpidpo generate --model "$MODEL" --max-tokens 100 "${openings[@]}" >before
mpidpo generate --model run/model --max-tokens 100 "${openings[@]}" >after
assert_contains before '"'
assert_contains before 'outside. '
assert_lacks after '"'
