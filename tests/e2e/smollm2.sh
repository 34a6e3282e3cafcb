#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real model, 135 million weights, 9 query heads in 3 groups: TRL's recorded numbers on one rank, on two that share
# the batch and on two that share the model. Runs where the model is: in $DPO_SMOLLM2, or beside the repository a
# program that makes it.
. "$(dirname "$0")/lib.sh"

shared=$DPO_SOURCE_DIR/../shared
golden=$shared/data/golden/smollm2-politeness
[[ -d $golden ]] || skip "no recorded numbers of SmolLM2"
model=${DPO_SMOLLM2:-}
if [[ -z $model ]]; then
    [[ -x $shared/tools/get-smollm2 ]] || skip "no SmolLM2"
    model=$SCRATCH/smollm2
    "$shared/tools/get-smollm2" "$model" >log 2>&1 || skip "SmolLM2 cannot be made here: $(tail -n 1 log)"
fi

setting() {
    json_first "$golden/sigmoid.json" "$1"
}
grep -q '"log"' "$golden/sigmoid.json"
options=(--model "$model" --data "$golden/pairs.jsonl" --quiet --set data.shuffle=false
    --set data.max_length="$(setting max_length)" --set objective.beta="$(setting beta)"
    --set batch.examples="$(setting global_batch)" --set schedule.warmup="$(setting warmup_steps)"
    --set optimizer.lr="$(setting lr)" --set optimizer.weight_decay="$(setting weight_decay)"
    --set optimizer.clip="$(setting max_grad_norm)")

# equals_trl RUN KEY TOLERANCE: relative to values above 1.
equals_trl() {
    paste <(json_values "$1/metrics.jsonl" "$2") <(json_values "$golden/sigmoid.json" "$2") >both
    awk -v most="$3" '{ d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > most * ($2 > 1 ? $2 : 1)) bad = 1 } END { exit bad || NR < 3 }' both ||
        fail "$2 of $1 and of TRL differ: $(tr '\t\n' ' ;' <both)"
}

for grid in 1x1 2x1 1x2; do
    fact "grid $grid"
    t=${grid#*x} n=$((${grid%x*} * ${grid#*x}))
    OMP_NUM_THREADS=$((2 / n)) ranks "$n" train "${options[@]}" --out "$grid" --set parallel.tensor="$t"
    equals_trl "$grid" loss 2e-5
    equals_trl "$grid" grad_norm 2e-4
    equals_trl "$grid" rewards/margins 1e-4
    rm -r "$grid/model" "$grid/checkpoints"
done
