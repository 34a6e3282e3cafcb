#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run from preferences to a model folder: what it writes, what it reuses, and that it continues where it stopped.
. "$(dirname "$0")/lib.sh"

head -n 48 "$TRAIN" >pairs.jsonl
options=(--model "$MODEL" --data pairs.jsonl --eval "$EVAL" --set batch.examples=8 --set optimizer.lr=1e-4)

# same_losses A B: two runs have the same losses but for rounding.
same_losses() {
    paste <(json_values "$1/metrics.jsonl" loss) <(json_values "$2/metrics.jsonl" loss) >both
    awk 'NF != 2 { bad = 1 } { d = $1 - $2; if (d < 0) d = -d; if (d > 1e-5 * $1) bad = 1 } END { exit bad }' both ||
        fail "losses of $1 and $2: $(cat both)"
}

fact "one command makes everything"
ranks 2 train "${options[@]}" --out a --set checkpoint.every=2 --set evaluate.at_start=true 2>log
assert_file a/config.json a/manifest.json a/data.h5 a/eval.h5 a/reference.h5 a/metrics.jsonl a/checkpoints/step-00000006.h5
assert_file a/model/config.json a/model/model.safetensors a/model/tokenizer.json
assert_equal "$(ls a/checkpoints | wc -l)" 2 "checkpoints that stay"
assert_number "$(json_first a/metrics.jsonl loss)" '<' 0.693148 "loss of step 1"
assert_number "$(json_first a/metrics.jsonl loss)" '>' 0.693146 "loss of step 1"
assert_equal "$(json_values a/metrics.jsonl eval_loss | wc -l)" 2 "evaluations"
assert_lacks log $'\r'

# One step is the same to 1e-6 (tests/mpi/train_gradient.c); AdamW's first updates are lr * sign(g), which carries
# the rounding of gradients near zero on to later steps.
fact "any number of ranks gives the same losses"
for n in 1 4; do
    ranks "$n" train "${options[@]}" --out "ranks$n" --quiet
    same_losses a "ranks$n"
done

fact "any way to have fewer threads gives the same losses"
for setting in OMP_THREAD_LIMIT=1 OMP_DYNAMIC=true OMP_NUM_THREADS=1; do
    env OMP_NUM_THREADS=3 "$setting" "$MPIDPO" train "${options[@]}" --out "$setting" --quiet
    same_losses a "$setting"
done

fact "a second run with another beta reuses data and reference"
ranks 2 train "${options[@]}" --out b --set objective.beta=0.3 --set reference.cache=a/reference.h5 2>log
assert_contains log 'a/reference.h5'
assert_lacks log 'computed in'

fact "a short run computes the reference of what it sees; its numbers are those of the whole reference"
ranks 2 train "${options[@]}" --out short --set train.steps=2 2>log
assert_contains log 'reference log-probs: 32 of 32 computed'
ranks 2 train "${options[@]}" --out informed --set train.steps=2 --set reference.cache=a/reference.h5 2>log
assert_contains log 'reference log-probs: all 32 found in a/reference.h5'
assert_same_file short/model/model.safetensors informed/model/model.safetensors
ranks 2 reference --model "$MODEL" --data pairs.jsonl --out short 2>log
assert_contains log 'reference log-probs: 64 of 96 computed'

fact "a finished run has nothing to do, and says so"
ranks 2 train "${options[@]}" --out a --set checkpoint.every=2 2>log
assert_contains log '6 of 6 steps are done'

fact "another number of ranks continues a run"
cp -r a f
rm -r f/checkpoints/step-00000006.h5 f/model
ranks 1 train "${options[@]}" --out f --set checkpoint.every=2 2>log
assert_contains log '4 of 6 steps are done'
same_losses a f

fact "a run that a signal stopped goes on, bit for bit"
$MPIRUN -n 2 "$MPIDPO" train "${options[@]}" --out c --set train.epochs=20 2>log &
until [[ -s c/metrics.jsonl ]]; do sleep 0.05; done
kill -USR1 $!
wait $! || fail "a stopped run ends well"
assert_contains log 'stopped by a signal'
[[ ! -e c/model ]] || fail "a stopped run wrote a model"
ranks 2 train "${options[@]}" --out c --set train.epochs=20 2>log
assert_contains log 'continuing from'
ranks 2 train "${options[@]}" --out d --set train.epochs=20 --quiet
assert_equal "$(json_values c/metrics.jsonl loss | md5sum)" "$(json_values d/metrics.jsonl loss | md5sum)" "losses"
assert_same_file c/model/model.safetensors d/model/model.safetensors

fact "export, generate, evaluate and inspect read a checkpoint"
mpidpo export a/checkpoints/step-00000006.h5 --out exported 2>log
assert_same_file exported/model.safetensors a/model/model.safetensors
assert_equal "$(mpidpo generate --model exported --max-tokens 20 'Once upon a time')" \
    "$(mpidpo generate --model a/checkpoints/step-00000006.h5 --max-tokens 20 'Once upon a time')" "text"
ranks 2 evaluate --model a/checkpoints/step-00000006.h5 --data "$EVAL" --out e --set reference.model="$MODEL" >result 2>log
assert_number "$(json_first result eval_loss)" '==' "$(json_last a/metrics.jsonl eval_loss)" "loss of the evaluation"
for file in a/data.h5 a/reference.h5 a/checkpoints/step-00000006.h5 exported; do
    mpidpo inspect "$file" >described
    assert_file described
done
printf '\x55' | dd of=a/checkpoints/step-00000006.h5 bs=1 seek=300000 conv=notrunc status=none
run mpidpo inspect a/checkpoints/step-00000006.h5
assert_status 65
