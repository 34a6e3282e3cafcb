#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Wrong input: one clear message from rank 0, the exit code of its kind, no hang, nothing left behind, on 1, 2 and 4 ranks.
. "$(dirname "$0")/lib.sh"

head -n 8 "$TRAIN" >good.jsonl

# refused N STATUS TEXT ARGS...: N ranks end with STATUS and one message that contains TEXT. OUT stands for a folder.
refused() {
    local n=$1 expected=$2 text=$3 got=0
    shift 3
    # shellcheck disable=SC2086
    timeout 60 $MPIRUN -n "$n" "$MPIDPO" "${@/#OUT/run$n}" >"log$n" 2>&1 || got=$?
    if [[ $got != "$expected" ]] || ! grep -qF -- "$text" "log$n" || [[ $(grep -c '^mpidpo: error: ' "log$n") != 1 ]]; then
        echo "$n ranks, exit status $got, expected $expected and one message with: $text"
        cat "log$n"
        return 1
    fi
    [[ ! -e run$n/model ]] || { echo "$n ranks: a refused run left a model" && return 1; }
    rm -rf "run$n"
}

# everywhere STATUS TEXT ARGS...: the same on 1, 2 and 4 ranks.
everywhere() {
    local n pids=()
    for n in 1 2 4; do
        refused "$n" "$@" &
        pids+=($!)
    done
    for n in "${pids[@]}"; do wait "$n" || fail "not refused as it should be: ${*:3}"; done
}

train() {
    everywhere "$1" "$2" train --model "${MODEL_NOW:-$MODEL}" --data "${DATA_NOW:-good.jsonl}" --out OUT "${@:3}"
}

copy_model() {
    rm -rf model
    cp -r "$MODEL" model
    chmod -R u+w model
    MODEL_NOW=model
}

fact "command line and configuration"
everywhere 64 'there is no command "trian"; did you mean "train"?' trian
everywhere 64 'there is no option "--mdoel"; did you mean "--model"?' train --mdoel x
train 64 'there is no configuration key "optimizer.rl"; did you mean "optimizer.lr"?' --set optimizer.rl=1
train 64 'optimizer.lr is "fast", expected a number' --set optimizer.lr=fast
everywhere 64 'does not use optimizer.lr' prepare --model "$MODEL" --data good.jsonl --out OUT --set optimizer.lr=1
train 64 'train.steps and train.epochs' --set train.steps=2 --set train.epochs=1
train 64 'objective.name: there is no objective "sigmod"' --set objective.name=sigmod
train 64 'schedule.min_lr' --set schedule.min_lr=1e-9
everywhere 64 'model: is required' train --data good.jsonl --out OUT
everywhere 64 'out: is required' train --model "$MODEL" --data good.jsonl
printf '{"data": {"max_lenght": 5}}' >bad.json
everywhere 64 'did you mean "data.max_length"?' train bad.json
printf '{"seed": 1,\n "seed" 2}' >bad.json
everywhere 65 'bad.json, line 2' train bad.json

fact "model folder"
MODEL_NOW=nowhere train 74 'nowhere'
copy_model
rm model/model.safetensors
train 74 'model.safetensors'
copy_model
truncate -s 500000 model/model.safetensors
train 65 'model.safetensors'
copy_model
sed -i 's/"hidden_size": 64/"hidden_size": 128/' model/config.json
train 65 'model.embed_tokens.weight'
copy_model
sed -i 's/LlamaForCausalLM/MambaForCausalLM/; s/"model_type": "llama"/"model_type": "mamba"/' model/config.json
train 64 'mamba'
copy_model
sed -i 's/"type": "BPE"/"type": "Unigram"/' model/tokenizer.json
train 65 'Unigram'
copy_model
printf '{%% frobnicate %%}' >model/chat_template.jinja
train 65 'frobnicate'
unset MODEL_NOW

fact "preference data"
DATA_NOW=nowhere.jsonl train 74 'nowhere.jsonl'
{ head -n 5 good.jsonl; echo '{"prompt": "a", "chosen": '; tail -n 3 good.jsonl; } >bad.jsonl
DATA_NOW=bad.jsonl train 65 'bad.jsonl, line 6'
{ head -n 3 good.jsonl; echo '{"prompt": "a", "chosen": "b"}'; } >bad.jsonl
DATA_NOW=bad.jsonl train 65 'bad.jsonl, line 4'
{ head -n 6 good.jsonl; echo '{"prompt": "a", "chosen": "", "rejected": "b"}'; } >bad.jsonl
DATA_NOW=bad.jsonl train 65 'bad.jsonl, line 7'
printf '{"prompt": "%s", "chosen": "b", "rejected": "c"}\n' "$(printf 'word %.0s' {1..400})" >bad.jsonl
DATA_NOW=bad.jsonl train 65 'bad.jsonl, line 1' --set data.max_length=64 --set data.truncation=error
DATA_NOW=bad.jsonl train 65 'none of 1 examples is left' --set data.max_length=64
unset DATA_NOW

fact "a cache of other weights"
ranks 2 train --model "$MODEL" --data good.jsonl --out first --set schedule.warmup=0 --quiet
copy_model
cp first/model/model.safetensors model/model.safetensors
train 64 'first/reference.h5' --set reference.cache=first/reference.h5
unset MODEL_NOW

fact "another run in the same folder"
everywhere 64 'another objective.beta' train --model "$MODEL" --data good.jsonl --out first --set schedule.warmup=0 --set objective.beta=0.5

# full_disk N T: on N ranks, T to a model, the checkpoint does not fit; what was whole before stays, nothing is
# half-written.
full_disk() {
    run timeout 60 $MPIRUN -n "$1" "$MPIDPO" train --model "$MODEL" --data good.jsonl --out disk/run --set "parallel.tensor=$2"
    [[ $status == 74 ]] || fail "exit status $status on a full disk, $1 ranks, $2 to a model: $(cat err)"
    assert_contains err 'checkpoints/step-00000001.h5'
    assert_equal "$(grep -c '^mpidpo: error: ' err)" 1 "messages on a full disk, $1 ranks"
    [[ -z $(find disk/run -name '*.tmp-*') ]] || fail "temporary files are left: $(find disk/run -name '*.tmp-*')"
    [[ ! -e disk/run/model && -z $(ls disk/run/checkpoints) ]] || fail "half a run: $(find disk/run)"
    assert_file disk/run/reference.h5 disk/run/metrics.jsonl
    rm -rf disk/run
}

mkdir disk
if mount -t tmpfs -o size=2m tmpfs disk 2>/dev/null; then
    fact "a full disk"
    trap 'umount disk; rm -rf "$SCRATCH"' EXIT
    for grid in "1 1" "2 1" "4 1" "4 2" "4 4"; do full_disk ${grid% *} ${grid#* }; done
else
    fact "no right to mount a small disk: a full one is not tried"
fi
