#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the time of a run went, and how its steps compare with the measured matmul peak.
. "$(dirname "$0")/lib.sh"

head -n 32 "$TRAIN" >pairs.jsonl
options=(--model "$MODEL" --data pairs.jsonl --eval "$EVAL" --set batch.examples=16 --set train.steps=4 --set checkpoint.every=2)

for n in 1 2; do
    fact "the phases of $n ranks add up to the wall clock"
    ranks "$n" train "${options[@]}" --out "ranks$n" 2>log
    sum=$(json_values "ranks$n/phases.json" time_s | awk '{ sum += $1 } END { print sum }')
    wall=$(json_first "ranks$n/phases.json" wall_s)
    assert_number "$sum" '>=' "$(awk "BEGIN { print 0.97 * $wall }")" "sum of the phases"
    assert_number "$sum" '<=' "$(awk "BEGIN { print 1.03 * $wall }")" "sum of the phases"
    assert_contains log 'where the time went'

    fact "nearly all of it has a name"
    other=$(grep -A 1 '"other"' "ranks$n/phases.json" | json_values /dev/stdin time_s)
    assert_number "$other" '<' "$(awk "BEGIN { print 0.2 * $wall }")" "time without a name"
    for phase in 'attention backward' 'vocabulary forward' 'linear qkv forward' 'linear down backward' 'optimizer' 'reference pass' \
        'evaluation' 'checkpoints' 'start'; do
        assert_contains "ranks$n/phases.json" "\"$phase\""
    done

    fact "each step is compared with the peak"
    assert_contains log 'matmul peak, measured'
    assert_equal "$(json_values "ranks$n/metrics.jsonl" mfu | wc -l)" 4 "steps with an mfu"
    assert_number "$(json_last "ranks$n/metrics.jsonl" mfu)" '>' 0 "mfu"
done

# The last layer works on the rows that predict only, which the formula of the mfu does not know.
fact "the operations behind the mfu are those that the phases count"
needed=$(json_values ranks1/metrics.jsonl flops | awk '{ sum += $1 } END { print sum }')
counted=$(json_values ranks1/phases.json flops | awk '{ sum += $1 } END { print sum }')
assert_number "$counted" '<=' "$(awk "BEGIN { print 1.0001 * $needed }")" "operations in the phases"
assert_number "$counted" '>=' "$(awk "BEGIN { print 0.85 * $needed }")" "operations in the phases"

fact "log.mfu=false measures nothing"
mpidpo train "${options[@]}" --out without --set log.mfu=false 2>log
assert_lacks log 'peak, measured'
assert_equal "$(json_values without/metrics.jsonl mfu)" "" "mfu"
assert_equal "$(json_values without/phases.json of_peak)" "" "part of the peak"
assert_file without/phases.json
