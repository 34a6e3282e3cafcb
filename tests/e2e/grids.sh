#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tensor-parallel grids from the command line: the same numbers, checkpoints that go from grid to grid, texts.
. "$(dirname "$0")/lib.sh"

export OMP_NUM_THREADS=1
head -n 60 "$TRAIN" >pairs.jsonl
head -n 20 "$EVAL" >eval.jsonl
options=(--model "$MODEL" --data pairs.jsonl --eval eval.jsonl --set batch.examples=12 --set optimizer.lr=1e-4
    --set schedule.warmup=0 --set train.steps=4)

# same_numbers A B KEY TOLERANCE: the values of KEY in the metrics of two runs, step by step.
same_numbers() {
    paste <(json_values "$1/metrics.jsonl" "$3") <(json_values "$2/metrics.jsonl" "$3") >both
    [[ -s both ]] || fail "no $3 in $1"
    awk -v most="$4" '{ d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > most * ($1 > 1 ? $1 : 1)) bad = 1 } END { exit bad }' both ||
        fail "$3 of $1 and $2 differ: $(tr '\t\n' ' ;' <both)"
}

fact "every grid of up to four ranks has the numbers of one rank"
ranks 1 train "${options[@]}" --quiet --out g1x1
for grid in 2x1 1x2 4x1 2x2 1x4; do
    t=${grid#*x}
    ranks $((${grid%x*} * t)) train "${options[@]}" --quiet --out "g$grid" --set parallel.tensor="$t"
    same_numbers g1x1 "g$grid" loss 2e-5
    same_numbers g1x1 "g$grid" grad_norm 2e-4
    same_numbers g1x1 "g$grid" eval_loss 2e-5
    assert_equal "$(json_last "g$grid/metrics.jsonl" num_tokens)" "$(json_last g1x1/metrics.jsonl num_tokens)" num_tokens
done

fact "same grid, same bits; the log says who does what, and how much memory was planned and used"
run ranks 4 train "${options[@]}" --out again --set parallel.tensor=2
assert_status 0
assert_contains err "grid: 2 data-parallel x 2 tensor-parallel"
assert_contains err "tensor-parallel ranks: rows are exchanged by"
assert_contains err "gradient sums:"
assert_contains err "MiB were planned"
assert_same_file again/model/model.safetensors g2x2/model/model.safetensors

fact "a checkpoint of one grid continues on another"
ranks 4 train "${options[@]}" --quiet --out half --set parallel.tensor=2 --set checkpoint.every=2
rm -r half/model half/checkpoints/step-00000004.h5
run ranks 2 train "${options[@]}" --out half --set parallel.tensor=2 --set checkpoint.every=2
assert_status 0
assert_contains err "2 of 4 steps are done"
same_numbers g1x1 half loss 2e-5
rm -r half/model half/checkpoints/step-00000004.h5
ranks 3 train "${options[@]}" --quiet --out half --set checkpoint.every=2
same_numbers g1x1 half grad_norm 2e-4

fact "evaluation and text of a shared model are those of one rank"
mpidpo generate --quiet --model "$MODEL" --max-tokens 40 "Once upon a time" "The dog" >one
ranks 4 generate --quiet --model "$MODEL" --max-tokens 40 --set parallel.tensor=2 "Once upon a time" "The dog" >four
assert_same_file one four
mpidpo evaluate --quiet --model g1x1/model --data eval.jsonl --out e1 --set reference.model="$MODEL" >one
ranks 4 evaluate --quiet --model g1x1/model --data eval.jsonl --out e4 --set reference.model="$MODEL" \
    --set parallel.tensor=4 >four
assert_number "$(awk -v a="$(json_last one eval_loss)" -v b="$(json_last four eval_loss)" 'BEGIN { d = a - b; print (d < 0 ? -d : d) }')" \
    "<" 1e-5 "difference of eval_loss"

fact "what cannot be split is refused"
run ranks 3 train "${options[@]}" --out no --set parallel.tensor=2
assert_status 64
assert_contains err "parallel.tensor: 2 does not divide the 3 ranks"
run ranks 9 train "${options[@]}" --out no --set parallel.tensor=9
assert_status 64
assert_contains err "parallel.tensor: 9 ranks cannot share the model's 8 query heads"
