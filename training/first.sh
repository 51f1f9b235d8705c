#!/bin/bash
# First stage on a GPU machine: a trial of everything, then the autoencoder beside the speech encoder.
# Usage: first.sh FOLDER SECONDS; leaves its files in FOLDER.
set -u
out=$1
seconds=$2
work=/tmp/train
mkdir -p "$work" "$out"
python3 training/trial.py "$work/trial" >"$out/trial.log" 2>&1 || { tail -30 "$out/trial.log"; exit 1; }
tail -5 "$out/trial.log"
for kind in muon adamw; do
  python3 training/vae.py --state "$work/$kind" --seconds 40 --small 0.06 --optimiser $kind >"$work/$kind.log" 2>&1 &
done
wait
for kind in muon adamw; do echo "$kind"; tail -2 "$work/$kind.log"; done
best=$(python3 -c "
import json
score={k: json.load(open(f'$work/{k}/vae-facts.json'))['all'] for k in ('muon','adamw')}
print('adamw' if score['adamw'] > score['muon'] + 0.3 else 'muon')")
echo "chosen: $best"
mkdir -p "$work/state"
python3 training/speech.py --state "$work/state" --seconds 150 >"$work/speech.log" 2>&1 &
python3 training/vae.py --state "$work/state" --seconds "$seconds" --optimiser "$best" >"$work/vae.log" 2>&1
wait
tail -3 "$work/speech.log"; tail -12 "$work/vae.log"
cp "$work"/state/vae.pt "$work"/state/vae-more.pt "$work"/state/vae-average.pt "$work"/state/vae-samples.png "$out"/
tar cf "$out/small.tar" -C "$work" muon.log adamw.log speech.log vae.log $(cd "$work"; ls state/*.json state/*.png state/speech*.pt)
