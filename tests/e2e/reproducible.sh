#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# parallel.reproducible: the weights after 20 steps have the same bits on 1, 2, 4 and 8 data-parallel ranks.
. "$(dirname "$0")/lib.sh"

export OMP_NUM_THREADS=1
head -n 44 "$TRAIN" >pairs.jsonl
options=(--model "$MODEL" --data pairs.jsonl --set batch.examples=16 --set optimizer.lr=1e-3 --set train.steps=20
    --set parallel.reproducible=true --quiet)

fact "twenty steps on any number of ranks"
for n in 1 2 4 8; do ranks "$n" train "${options[@]}" --out "r$n"; done
for n in 2 4 8; do assert_same_file r1/model/model.safetensors "r$n/model/model.safetensors"; done

fact "with messages instead of shared memory"
ranks 4 train "${options[@]}" --out messages --set parallel.transport=messages --set parallel.bucket_bytes=50000
assert_same_file r1/model/model.safetensors messages/model/model.safetensors

fact "LAMB's norms and Muon's matrices too, with an average of the weights"
for optimizer in lamb muon; do
    for n in 1 4; do
        ranks "$n" train "${options[@]}" --out "$optimizer$n" --set optimizer.name=$optimizer --set optimizer.ema=0.9 \
            --set train.steps=5
    done
    assert_same_file "${optimizer}1/model/model.safetensors" "${optimizer}4/model/model.safetensors"
    assert_same_file "${optimizer}1/model-ema/model.safetensors" "${optimizer}4/model-ema/model.safetensors"
done

fact "another number of ranks continues, and nothing changes"
mkdir -p half
ranks 4 train "${options[@]}" --out half --set checkpoint.every=10
rm -r half/model half/checkpoints/step-00000020.h5
ranks 2 train "${options[@]}" --out half --set checkpoint.every=10
assert_same_file r1/model/model.safetensors half/model/model.safetensors
