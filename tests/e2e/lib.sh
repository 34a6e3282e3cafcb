# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What every end-to-end test begins with: `. "$(dirname "$0")/lib.sh"`. The test then stands in an empty scratch
# folder, which goes away with it, and stops at the first command that fails.
#   $MPIDPO           the program                 $DPO_SOURCE_DIR   the repository
#   $MPIRUN           the launcher, with flags    $SCRATCH          the scratch folder
#   $MODEL            the embedded model          $TRAIN, $EVAL     the embedded preferences
# Exit status: 0 all facts hold, 77 skipped (ctest shows it so), else failed.
set -euo pipefail
: "${MPIDPO:?path of the program}" "${MPIRUN:?launcher with its flags}" "${DPO_SOURCE_DIR:?the repository}"
# shellcheck disable=SC2034
MODEL=$DPO_SOURCE_DIR/configs/stories260K
# shellcheck disable=SC2034
TRAIN=$DPO_SOURCE_DIR/configs/stories/train.jsonl EVAL=$DPO_SOURCE_DIR/configs/stories/eval.jsonl

# Facts about numbers are about f32; a test of bf16 unsets this.
export ONEDNN_MAX_CPU_ISA=AVX512_CORE

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/mpidpo-test.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
trap 'fail "command failed: $BASH_COMMAND"' ERR
set -E
cd "$SCRATCH"

# fail TEXT: ends the test, says where and why.
fail() {
    trap - ERR
    echo "FAILED: $(basename "$0"):${BASH_LINENO[-2]}: $*" >&2
    exit 1
}

# skip REASON
skip() {
    echo "skipped: $*"
    exit 77
}

# fact TEXT: names what the next lines show.
fact() {
    echo "-- $*"
}

# mpidpo ARGS...: the program as one plain process.
mpidpo() {
    "$MPIDPO" "$@"
}

# ranks N ARGS...: the program on N ranks.
ranks() {
    local n=$1
    shift
    # shellcheck disable=SC2086
    $MPIRUN -n "$n" "$MPIDPO" "$@"
}

# run COMMAND...: runs it whatever its outcome; leaves stdout in $SCRATCH/out, stderr in $SCRATCH/err, its exit in $status.
run() {
    status=0
    trap - ERR
    "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
    trap 'fail "command failed: $BASH_COMMAND"' ERR
}

# assert_status N: the last run ended with exit status N.
assert_status() {
    [[ $status == "$1" ]] || {
        tail -n 20 "$SCRATCH/out" "$SCRATCH/err" >&2
        fail "exit status $status, expected $1"
    }
}

# assert_contains FILE TEXT: FILE has a line with TEXT in it, as it stands.
assert_contains() {
    grep -qF -- "$2" "$1" || {
        tail -n 20 "$1" >&2
        fail "$1 does not contain: $2"
    }
}

# assert_lacks FILE TEXT
assert_lacks() {
    ! grep -F -- "$2" "$1" >&2 || fail "$1 contains: $2"
}

# assert_file PATH...: each is a file with something in it.
assert_file() {
    local path
    for path in "$@"; do [[ -s $path ]] || fail "no such file, or empty: $path"; done
}

# assert_equal FOUND EXPECTED WHAT
assert_equal() {
    [[ $1 == "$2" ]] || fail "$3: found '$1', expected '$2'"
}

# assert_number FOUND OPERATOR BOUND WHAT: numbers with decimals; OPERATOR as in awk: < <= == >= > !=
assert_number() {
    awk -v a="$1" -v b="$3" "BEGIN { exit !(a != \"\" && a + 0 $2 b + 0) }" || fail "$4: found '$1', expected $2 $3"
}

# assert_same_file A B
assert_same_file() {
    cmp -- "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# json_values FILE KEY: the values of "KEY" in a file with one object a line, one a line, in order; numbers and plain strings.
json_values() {
    grep -oE "\"$2\"[[:space:]]*:[[:space:]]*(\"[^\"]*\"|[^],}[:space:]]+)" "$1" | sed -E 's/^"[^"]*"[[:space:]]*:[[:space:]]*//; s/^"(.*)"$/\1/' || true
}

# json_last FILE KEY, json_first FILE KEY: the last or first of them.
json_last() {
    json_values "$1" "$2" | tail -n 1
}
json_first() {
    json_values "$1" "$2" | sed -n 1p
}

# count_lines FILE
count_lines() {
    wc -l <"$1" | tr -d ' '
}
