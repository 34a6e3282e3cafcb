#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every optimizer trains, and continues where it stopped; what belongs to one is refused with another.
. "$(dirname "$0")/lib.sh"

head -n 32 "$TRAIN" >pairs.jsonl
options=(--model "$MODEL" --data pairs.jsonl --set batch.examples=8 --set train.steps=4 --set checkpoint.every=2)

declare -A rate=([adamw]=1e-4 [lamb]=1e-3 [lars]=1e-1 [rmsprop]=1e-4 [sgd]=1e-1 [lion]=3e-5 [muon]=1e-4)

for optimizer in adamw lamb lars rmsprop sgd lion muon; do
    fact "$optimizer: the loss falls, and a continued run is the same bit for bit"
    keys=(--set optimizer.name="$optimizer" --set optimizer.lr="${rate[$optimizer]}" --set optimizer.ema=0.5 --quiet)
    ranks 2 train "${options[@]}" "${keys[@]}" --out $optimizer
    assert_number "$(json_last $optimizer/metrics.jsonl loss)" '<' 0.6931 "loss of the last step"
    cp -r $optimizer again
    rm -r again/model again/model-ema again/checkpoints/step-00000004.h5
    ranks 2 train "${options[@]}" "${keys[@]}" --out again
    assert_same_file $optimizer/model/model.safetensors again/model/model.safetensors
    assert_same_file $optimizer/model-ema/model.safetensors again/model-ema/model.safetensors
    assert_equal "$(json_last again/metrics.jsonl gradient_noise_scale)" \
        "$(json_last $optimizer/metrics.jsonl gradient_noise_scale)" "noise scale"
    rm -r again
done

fact "another grid continues: state and average lie in other parts, the losses stay the same"
for optimizer in adamw lamb muon; do
    keys=(--set optimizer.name="$optimizer" --set optimizer.lr="${rate[$optimizer]}" --set optimizer.ema=0.5 --quiet)
    for grid in 4x1 2x2 1x2; do
        cp -r $optimizer $grid
        rm -r $grid/model $grid/model-ema $grid/checkpoints/step-00000004.h5
        ranks $((${grid%x*} * ${grid#*x})) train "${options[@]}" "${keys[@]}" --set parallel.tensor=${grid#*x} --out $grid
        awk -v a="$(json_last $grid/metrics.jsonl loss)" -v b="$(json_last $optimizer/metrics.jsonl loss)" \
            'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }' || fail "losses of $optimizer on $grid"
        rm -r $grid
    done
done

fact "the average is another model than the weights"
! cmp -s adamw/model/model.safetensors adamw/model-ema/model.safetensors || fail "they are the same"
mpidpo generate --model adamw/model-ema --max-tokens 5 'Once upon a time' >text
assert_file text

fact "two ranks estimate the gradient's noise, one cannot"
assert_equal "$(json_values adamw/metrics.jsonl gradient_noise/trace | wc -l)" 4 "estimates"
mpidpo train "${options[@]}" --set train.steps=1 --out alone --quiet
assert_lacks alone/metrics.jsonl gradient_noise

fact "RMSprop of the original DPO"
mpidpo train "${options[@]}" --set train.steps=1 --set optimizer.name=rmsprop --set schedule.warmup=150 --out original --quiet
assert_contains original/config.json '"alpha"'
assert_equal "$(json_first original/config.json alpha)" 0.99 "alpha"

fact "a batch four times as large, and its rate"
mpidpo train "${options[@]}" --set train.steps=1 --set schedule.warmup=0 --set optimizer.lr=1e-5 --set optimizer.lr_batch=2 \
    --set optimizer.lr_scaling=sqrt --out scaled 2>log
assert_contains log 'peak learning rate 2e-05'
assert_number "$(json_last scaled/metrics.jsonl learning_rate)" '==' 2e-5 "rate"

fact "a continued run keeps its optimizer"
run mpidpo train "${options[@]}" --set optimizer.name=lion --set optimizer.lr=1e-4 --set optimizer.ema=0.5 --out adamw
assert_status 64
assert_contains err 'optimizer.name'

# refused TEXT KEY=VALUE...: these keys together are an error that says TEXT.
refused() {
    local text=$1 sets=()
    shift
    for key; do sets+=(--set "$key"); done
    run mpidpo train --model "$MODEL" --data pairs.jsonl --out refused "${sets[@]}"
    assert_status 64
    assert_contains err "$text"
}

fact "keys that have no effect are refused"
refused 'optimizer.momentum: given, but the optimizer adamw does not use it' optimizer.momentum=0.9
refused 'optimizer.betas: given, but the optimizer sgd does not use it' optimizer.name=sgd 'optimizer.betas=[0.9,0.99]'
refused 'optimizer.alpha: given, but the optimizer lamb' optimizer.name=lamb optimizer.alpha=0.9
refused 'optimizer.trust_coefficient: given' optimizer.name=rmsprop optimizer.trust_coefficient=0.1
refused 'optimizer.ns_steps: given' optimizer.name=lars optimizer.ns_steps=3
refused 'optimizer.matrix_lr: given' optimizer.name=lion optimizer.matrix_lr=1e-3
refused 'optimizer.nesterov: has no effect' optimizer.name=sgd optimizer.momentum=0 optimizer.nesterov=true
refused 'optimizer.lr_batch: is required' optimizer.lr_scaling=linear
refused 'optimizer.lr_batch: has no effect' optimizer.lr_batch=64
refused 'schedule.power: the schedule "linear" does not use it' schedule.power=2
refused 'schedule.decay: the schedule "cosine" does not use it' schedule.name=cosine schedule.decay=0.2
refused 'schedule.decay_type: the schedule "cosine"' schedule.name=cosine schedule.decay_type=linear
refused 'schedule.timescale: the schedule' schedule.timescale=100
refused 'schedule.min_lr: 1, expected' schedule.name=polynomial schedule.min_lr=1
