#!/bin/bash
# First stage, on a GPU machine: the autoencoder from the beginning.
# Usage: first.sh FOLDER SECONDS; leaves its files in FOLDER, each small enough to travel.
set -u
out=$1
work=/tmp/train-first
mkdir -p "$work/state" "$out"
graphs=()
python3 training/vae.py --state "$work/trial" --seconds 30 --small 0.02 >"$work/trial.log" 2>&1 \
  || { graphs=(--no-graphs); tail -5 "$work/trial.log"; }
python3 training/vae.py --state "$work/state" --seconds "$2" "${graphs[@]}" >"$work/vae.log" 2>&1
code=$?
grep -E "pools|seconds a step|chosen|held-out" "$work/vae.log"; tail -12 "$work/vae.log"
cp "$work"/state/vae-average.pt "$work"/state/vae-samples.png "$out"/
tar cf "$out/first.tar" -C "$work" trial.log vae.log \
  state/vae-curve.json state/vae-curve.png state/vae-facts.json
exit $code
