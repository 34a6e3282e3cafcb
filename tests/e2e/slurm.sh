#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# slurm/mpidpo.sbatch on a real Slurm cluster of virtual nodes on this machine: a run on several nodes, and one that is
# told to stop, goes back into the queue and ends as if nothing had happened.
. "$(dirname "$0")/lib.sh"

testbed=$DPO_SOURCE_DIR/../shared/slurm-testbed
[[ -x $testbed/up.sh ]] || skip "no $testbed/up.sh"
for program in sbatch slurmctld slurmd munged unshare; do
    command -v "$program" >/dev/null || skip "$program is not installed (tools/install-packages --slurm)"
done
[[ $(id -u) == 0 ]] || skip "a cluster of virtual nodes needs root"

chmod go+x "$SCRATCH" # munged wants its socket where every user could reach it
export SLURM_ROOT=$SCRATCH/slurm NODES=2 CPUS=1 SLURM_BASE_PORT=$((17000 + RANDOM % 20 * 500))
job=
trap stop_cluster EXIT

# A job that is still there would outlive the cluster.
# shellcheck disable=SC2317
stop_cluster() {
    trap - ERR
    if [[ $job ]] && ! is_over; then
        scancel "$job"
        for _ in {1..50}; do
            if is_over; then break; fi
            sleep 0.2
        done
    fi
    "$testbed/down.sh" >/dev/null 2>&1 || true
    rm -rf "$SCRATCH"
}

# submit NAME OPTIONS...: a job of 2 nodes with one rank each; leaves its number in $job.
submit() {
    local name=$1
    shift
    job=$(sbatch --parsable --nodes=2 --ntasks-per-node=1 --cpus-per-task=1 --time=10 --output="$name.log" "$job_file" \
        --model "$MODEL" --data pairs.jsonl --out "$name" --set batch.examples=16 --set optimizer.lr=1e-4 "$@")
}

job_state() {
    scontrol -o show job "$job" | grep -oE 'JobState=[A-Z]+' | cut -d= -f2
}

# await SECONDS TEXT CONDITION...
await() {
    local end=$((SECONDS + $1)) text=$2
    shift 2
    until "$@"; do
        ((SECONDS < end)) || fail "$text did not come: $(job_state) $(cat ./*.log)"
        sleep 0.2
    done
}

is_over() {
    [[ $(job_state) == COMPLETED || $(job_state) == FAILED || $(job_state) == CANCELLED ]]
}

has_steps() {
    [[ -e $1/metrics.jsonl ]] && (($(count_lines "$1/metrics.jsonl") >= $2))
}

"$testbed/up.sh" >up.log 2>&1 || skip "no Slurm cluster can be started here: $(tail -n 1 up.log)"
# shellcheck source=/dev/null
. "$SLURM_ROOT/env.sh"
export MPIDPO
job_file=$DPO_SOURCE_DIR/slurm/mpidpo.sbatch
head -n 80 "$TRAIN" >pairs.jsonl

fact "a job trains on two nodes and ends with a model"
submit whole --set train.epochs=4
await 120 "the end of the job" is_over
assert_equal "$(job_state)" COMPLETED "state of the job"
assert_file whole/model/model.safetensors
assert_contains whole.log "2 nodes, 2 ranks of 1 thread"

fact "a job that is told that its time is up writes a checkpoint, is queued again, and ends with the same model"
submit parts --set train.epochs=4
await 60 "step 2" has_steps parts 2
scancel --batch --signal=USR1 "$job"
await 60 "the requeue" grep -q "goes back into the queue" parts.log
assert_contains parts.log "stopped by a signal"
[[ ! -e parts/model ]] || fail "the stopped run wrote a model"
await 120 "the end of the second start" is_over
assert_equal "$(job_state)" COMPLETED "state of the job"
assert_contains parts.log "start 2, on"
assert_contains parts.log "continuing from"
assert_same_file parts/model/model.safetensors whole/model/model.safetensors

fact "a job that cannot work fails, and says why"
submit wrong --set optimizer.speed=3
await 60 "the end of the job" is_over
assert_equal "$(job_state)" FAILED "state of the job"
assert_contains wrong.log "optimizer.speed"
