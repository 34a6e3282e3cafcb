#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Number formats: what is refused, and that ln 2 holds at step 0 in every one of them. A sum of a hundred rounded
# log-probabilities is uncertain by 0.1, a loss of eight pairs at beta 0.1 by 0.004; a margin of five.
. "$(dirname "$0")/lib.sh"

options=(--model "$MODEL" --data "$TRAIN" --set batch.examples=8 --set train.steps=3 --set optimizer.lr=1e-4
         --set schedule.warmup=0)

# near A B TOLERANCE WHAT
near() {
    assert_number "$(awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; print d < 0 ? -d : d }')" "<" "$3" "$4"
}

# begins_at_ln_2 FOLDER
begins_at_ln_2() {
    near "$(json_first "$1/metrics.jsonl" loss)" 0.69314718055994531 1e-12 "first loss in $1"
}

fact "bf16 products are refused on a CPU that has none"
run mpidpo train "${options[@]}" --set precision=bf16 --out refused
assert_status 64
assert_contains err "precision: bf16 is asked for, but this CPU has no bf16 dot products that oneDNN uses"

fact "f32 is what auto takes there"
mpidpo train "${options[@]}" --out f32 >/dev/null
assert_equal "$(json_last f32/manifest.json precision)" f32 "precision"
assert_equal "$(json_last f32/manifest.json activations)" f32 "activations"
begins_at_ln_2 f32
loss=$(json_last f32/metrics.jsonl loss)

fact "activations in bf16: ln 2 at step 0, about the same loss, a reference of their own"
for set in parallel.tensor=1 parallel.tensor=2 memory.recompute=layer; do
    ranks 2 train "${options[@]}" --set memory.activations=bf16 --set "$set" --out "stored-$set" >log 2>&1
    assert_equal "$(json_last "stored-$set/manifest.json" activations)" bf16 "activations"
    begins_at_ln_2 "stored-$set"
    near "$(json_last "stored-$set/metrics.jsonl" loss)" "$loss" 2e-2 "last loss with $set"
done
run mpidpo train "${options[@]}" --out other --set reference.cache=stored-parallel.tensor=1/reference.h5
assert_status 64
assert_contains err "activations bf16"

fact "text is generated in it"
mpidpo generate --model f32/model --set precision=f32 --max-tokens 8 "Once upon a time" >text
assert_contains text "Once upon a time"

unset ONEDNN_MAX_CPU_ISA
mpidpo train "${options[@]}" --out auto >/dev/null
if [[ $(json_last auto/manifest.json precision) == bf16 ]]; then
    fact "where the CPU has bf16 products, auto takes them"
    begins_at_ln_2 auto
    near "$(json_last auto/metrics.jsonl loss)" "$loss" 2e-2 "last loss in bf16"
    ranks 2 train "${options[@]}" --set precision=bf16 --set parallel.tensor=2 --out split >/dev/null 2>&1
    begins_at_ln_2 split
    mpidpo generate --model auto/model --max-tokens 8 "Once upon a time" >text
    assert_contains text "Once upon a time"
fi
