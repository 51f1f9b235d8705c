#!/bin/bash
# One stage on a GPU machine: go on with the autoencoder (or not), then train the transformer.
# Usage: second.sh FOLDER VAE_SECONDS TRANSFORMER_SECONDS PREPARE_SECONDS [transformer's options]
# Needs .train/state with what earlier stages left: vae-average.pt (and vae.pt with vae-more.pt, if
# they travelled); with --resume the transformer goes on from transformer-average.pt.
set -u
out=$1 vae_seconds=$2 seconds=$3 prepare=$4
shift 4
work=/tmp/train
mkdir -p "$work" "$out"
cp -r .train/state "$work/state"
cp -n training/start/speech-average.pt "$work/state/"
keep() { tar cf "$out/small.tar" -C "$work" $(cd "$work"; ls *.log state/*.json state/*.png 2>/dev/null); }
if [ "$vae_seconds" -gt 0 ]; then
  begin=(--resume)
  [ -e "$work/state/vae.pt" ] || begin=(--start "$work/state/vae-average.pt")
  python3 training/vae.py --state "$work/state" "${begin[@]}" --seconds "$vae_seconds" >"$work/vae.log" 2>&1 \
    || { tail -30 "$work/vae.log"; exit 1; }
  grep -E "pools|seconds a step|chosen|held-out" "$work/vae.log"; tail -4 "$work/vae.log"
  cp "$work"/state/vae.pt "$work"/state/vae-average.pt "$work"/state/vae-samples.png "$out"/
  keep
fi
python3 training/transformer.py --state "$work/state" --seconds "$seconds" --prepare "$prepare" "$@" \
  >"$work/transformer.log" 2>&1
code=$?
grep -E "clips|pools|std|held-out" "$work/transformer.log"; tail -12 "$work/transformer.log"
cp "$work"/state/transformer-average.pt "$work"/state/transformer-momentum.pt \
  "$work"/state/transformer-samples.png "$out"/
keep
exit $code
