#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts in place works from there.
. "$(dirname "$0")/lib.sh"

fact "everything is installed"
cmake --install "$(dirname "$MPIDPO")" --prefix "$SCRATCH/usr" >installed
page=usr/share/man/man1/mpidpo.1
assert_file usr/bin/mpidpo "$page" usr/share/mpidpo/slurm/mpidpo.sbatch usr/share/mpidpo/configs/first-run.json \
    usr/share/mpidpo/configs/stories260K/model.safetensors usr/share/doc/mpidpo/README.md

fact "the manual page has every command and every key of training"
for command in $(mpidpo --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print $1 }'); do
    assert_contains "$page" ".SH \"MPIDPO ${command^^}\""
done
for key in $(mpidpo train --help | awk '/^  [a-z_]+\.[a-z_]+ / { print $1 }'); do
    assert_contains "$page" "$key"
done

fact "the installed program runs the installed example"
MPIDPO=$SCRATCH/usr/bin/mpidpo
cd usr/share/mpidpo
ranks 2 train configs/quickstart.json --out "$SCRATCH/run" --set train.epochs=1 --set evaluate.at_start=false --quiet
assert_file "$SCRATCH/run/model/model.safetensors"

fact "the commented example is a valid configuration"
head -n 64 configs/stories/train.jsonl >"$SCRATCH/pairs.jsonl"
ranks 2 train configs/first-run.json --model configs/stories260K --data "$SCRATCH/pairs.jsonl" --eval configs/stories/eval.jsonl \
    --out "$SCRATCH/first" --quiet
assert_file "$SCRATCH/first/model/model.safetensors"
