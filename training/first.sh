#!/bin/bash
# One stage on a GPU machine: a trial of everything, then the autoencoder from the beginning.
# Usage: first.sh FOLDER SECONDS; leaves its files in FOLDER, each small enough to travel.
set -u
out=$1
work=/tmp/train
mkdir -p "$work/state" "$out"
python3 training/trial.py "$work/trial" >"$out/trial.log" 2>&1 || { tail -30 "$out/trial.log"; exit 1; }
python3 training/vae.py --state "$work/state" --seconds "$2" >"$work/vae.log" 2>&1
code=$?
grep -E "pools|seconds a step|chosen|held-out" "$work/vae.log"; tail -12 "$work/vae.log"
cp "$work"/state/vae.pt "$work"/state/vae-more.pt "$work"/state/vae-average.pt "$work"/state/vae-samples.png "$out"/
tar cf "$out/small.tar" -C "$work" vae.log state/vae-curve.json state/vae-curve.png state/vae-facts.json
exit $code
