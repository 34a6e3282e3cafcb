#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One rank of a grid is told to stop, or killed: the others stop with it, and the same command goes on, bit for bit.
. "$(dirname "$0")/lib.sh"

head -n 24 "$TRAIN" >pairs.jsonl
options=(--model "$MODEL" --data pairs.jsonl --set batch.examples=8 --set optimizer.lr=1e-4 --set train.steps=40
    --set log.mfu=false --set parallel.tensor=2)

# start OUT [ARGS...]: a run on a grid of 2 x 2 ranks in the background, until its first steps are done.
start() {
    start_until metrics.jsonl "$@"
}

# start_until FILE OUT [ARGS...]: the same, until FILE of the run's folder OUT is there.
start_until() {
    local file=$1 out=$2
    shift 2
    # shellcheck disable=SC2086
    $MPIRUN -n 4 "$MPIDPO" train "${options[@]}" --out "$out" "$@" >log 2>&1 &
    launcher=$!
    until [[ -s $out/$file || -d $out/$file ]]; do
        kill -0 "$launcher" || fail "the run ended early: $(cat log)"
        sleep 0.01
    done
}

# process_of_rank N: its process, a child of the launcher.
process_of_rank() {
    local pid
    for pid in $(pgrep -P "$launcher"); do
        if tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
            echo "$pid"
            return
        fi
    done
    fail "the launcher has no rank $1"
}

# go_on OUT: the same command to the end, on the same grid.
go_on() {
    # shellcheck disable=SC2086
    timeout 300 $MPIRUN -n 4 "$MPIDPO" train "${options[@]}" --out "$1" "${@:2}" >log 2>&1 ||
        fail "the run does not go on: $(cat log)"
}

fact "a run that nothing disturbs"
go_on whole

fact "a signal to one rank stops all in good order"
start stopped
kill -USR1 "$(process_of_rank 3)"
wait "$launcher" || fail "a stopped run ends well: $(cat log)"
assert_contains log 'stopped by a signal'
[[ ! -e stopped/model ]] || fail "a stopped run wrote a model"
assert_equal "$(find stopped/checkpoints -type f | wc -l)" 1 "checkpoints of a stopped run"
go_on stopped
assert_contains log 'continuing from'
assert_same_file stopped/model/model.safetensors whole/model/model.safetensors

fact "a signal during the reference pass stops all; what is computed is kept"
start_until . early
kill -USR1 "$launcher" # to all ranks
wait "$launcher" || fail "a stopped run ends well: $(cat log)"
assert_contains log 'reference log-probs: stopped by a signal'
[[ ! -e early/metrics.jsonl && ! -e early/model ]] || fail "a run without a reference took steps"
go_on early
assert_same_file early/model/model.safetensors whole/model/model.safetensors

fact "a rank that is killed ends the others; the run goes on from its newest checkpoint"
start killed --set checkpoint.every=1
kill -KILL "$(process_of_rank 2)"
! wait "$launcher" || fail "a run without one of its ranks ended well"
go_on killed --set checkpoint.every=1
[[ -z $(find killed -name '*.tmp-*') ]] || fail "temporary files are left: $(find killed -name '*.tmp-*')"
assert_same_file killed/model/model.safetensors whole/model/model.safetensors
