#!/bin/bash
# Third stage, on a GPU machine: the rest of the transformer's schedule, on fresh clips.
# Usage: third.sh FOLDER SECONDS PREPARE_SECONDS; needs what the second stage left in .train/state.
set -u
out=$1 seconds=$2 prepare=$3
work=/tmp/train-third
mkdir -p "$work" "$out"
cp -r .train/state "$work/state"
cp -n training/start/speech-average.pt "$work/state/"
python3 training/transformer.py --state "$work/state" --seconds "$seconds" --prepare "$prepare" \
  --resume --first-seed 200000 --span 0.7 1 >"$work/transformer.log" 2>&1
code=$?
grep -E "clips|pools|std|held-out" "$work/transformer.log"; tail -8 "$work/transformer.log"
cp "$work"/state/transformer-{average.pt,momentum.pt,samples.png} "$out"/
tar cf "$out/third.tar" -C "$work" $(cd "$work"; ls ./*.log state/*.json state/*.png)
exit $code
