#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node or container whose /dev/shm is too small for what ranks would share: messages take its place, unless shared
# memory was asked for; nothing is left in it.
. "$(dirname "$0")/lib.sh"

small_bytes=6m
# Runs a command where /dev/shm is small and empty.
in_small_container() {
    unshare --mount bash -c "mount -t tmpfs -o size=$small_bytes tmpfs /dev/shm && \"\$@\" && ls /dev/shm >$SCRATCH/left" \
        bash "$@"
}
in_small_container true 2>/dev/null || skip "another /dev/shm needs root and a namespace of its own"

head -n 16 "$TRAIN" >pairs.jsonl
# train OUT ARGS...: two steps on two data-parallel ranks.
train() {
    local out=$1
    shift
    # shellcheck disable=SC2086
    in_small_container $MPIRUN -n 2 "$MPIDPO" train --model "$MODEL" --data pairs.jsonl --out "$out" \
        --set train.steps=2 --set batch.examples=8 "$@"
}

fact "by itself the program does without shared memory"
run train auto
assert_status 0
cat out err >log
assert_contains log "gradient sums: messages among 2 ranks"
assert_equal "$(grep -c mpidpo left || true)" 0 "files left in /dev/shm"

fact "the weights are those of a node with room"
# shellcheck disable=SC2086
run $MPIRUN -n 2 "$MPIDPO" train --model "$MODEL" --data pairs.jsonl --out roomy --set train.steps=2 \
    --set batch.examples=8 --set parallel.transport=shared
assert_status 0
assert_same_file auto/model/model.safetensors roomy/model/model.safetensors

fact "where shared memory was asked for, one message says what is missing"
run train shared --set parallel.transport=shared
assert_status 71
assert_contains err "/dev/shm"
assert_equal "$(grep -c "mpidpo: error" err)" 1 "messages"
