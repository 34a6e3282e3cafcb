#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Benchmarks run on one rank and more, and say what they found in a table and in a file. No speed is asserted.
. "$(dirname "$0")/lib.sh"

memory=(triad)
logps=('token_logps forward' 'token_logps forward and backward')

# matmul_rows PREFIX: names of the rows of products whose operands are of one type.
matmul_rows() {
    local layer row

    echo "$1peak"
    for layer in qkv o gate_up down head; do
        for row in forward backward_data backward_weight 'forward prepacked' 'forward packing' \
            'backward_data prepacked' 'backward_data packing'; do
            echo "$1$layer $row"
        done
    done
}

mpidpo bench memory >table 2>log
mapfile -t matmul < <(matmul_rows '')
if ! grep -q 'bf16 products: left out' log; then # on a CPU that has them
    mapfile -t matmul < <(matmul_rows '' && matmul_rows 'bf16 ')
    logps+=("${logps[@]/#/bf16 }")
fi
kernels=('attention forward' 'attention backward' 'attention decode' "${logps[@]}" 'rms_norm forward'
    'rms_norm backward' 'rotary' 'swiglu forward' 'swiglu backward' 'embedding forward' 'embedding backward'
    'narrow to bf16' 'widen from bf16' 'swiglu forward, stored bf16' 'swiglu backward, stored bf16' 'adamw')
files=('write, checksums, flush' 'read')
generate=('decode, a text on each rank')
collectives=('gradient buckets, sum' 'gradient buckets, gather' 'tensor-parallel rows, gather' 'tensor-parallel rows, sum'
    'sum of 16 numbers')
options=(--model "$MODEL" --set batch.tokens=256)

# assert_rows FOLDER NAME...: bench.json has these rows, in this order and no others; all speeds are positive.
assert_rows() {
    local file=$1/bench.json speed
    shift
    assert_equal "$(json_values "$file" name)" "$(printf '%s\n' "$@")" "rows of $file"
    assert_equal "$(json_values "$file" speed | wc -l)" "$#" "speeds in $file"
    for speed in $(json_values "$file" speed) $(json_values "$file" seconds) $(json_values "$file" of_peak); do
        assert_number "$speed" '>' 0 "a speed in $file"
    done
}

fact "one rank measures everything but collectives, and says so"
mpidpo bench "${options[@]}" --out one >table 2>log
assert_rows one "${memory[@]}" "${matmul[@]}" "${kernels[@]}" "${files[@]}" "${generate[@]}"
assert_equal "$(count_lines table)" "$(json_values one/bench.json name | wc -l)" "lines of the table"
assert_contains log 'collectives: left out'
[[ ! -e one/bench.h5 ]] || fail "the file of the benchmark is still there"

fact "two ranks measure collectives too"
ranks 2 bench "${options[@]}" --out two >table 2>log
assert_rows two "${memory[@]}" "${matmul[@]}" "${kernels[@]}" "${collectives[@]}" "${files[@]}" "${generate[@]}"
assert_equal "$(json_first two/bench.json ranks)" 2 "ranks"

fact "a group can be asked for by its name"
mpidpo bench memory >table 2>log
assert_equal "$(count_lines table)" 1 "lines of the table"
assert_contains table 'triad'

fact "where the CPU does not multiply bf16, the log and the file say why"
if grep -q 'bf16 products: left out' log; then
    assert_contains log "$(json_first one/bench.json no_bf16)"
else
    assert_contains one/bench.json '"bf16 peak"'
fi

fact "what cannot be measured is refused with the reason"
run mpidpo bench matmull
assert_status 64
assert_contains err 'did you mean "matmul"'
run mpidpo bench files
assert_status 64
assert_contains err '--out DIR'
run mpidpo bench collectives
assert_status 64
assert_contains err 'two ranks'
