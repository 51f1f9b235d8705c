#!/bin/bash
# Second stage, on a GPU machine with one or two GPUs: the transformer on the first stage's
# latents, and the decoder, which goes on learning while its encoder stays as it is.
# Usage: second.sh FOLDER SECONDS PREPARE_SECONDS; needs .train/state/vae-average.pt.
set -u
out=$1 seconds=$2 prepare=$3
work=/tmp/train-second
mkdir -p "$work" "$out"
cp -r .train/state "$work/state"
cp -n training/start/speech-average.pt "$work/state/"
cp -r "$work/state" "$work/decoder"
decoder() {
  python3 training/vae.py --state "$work/decoder" --start "$work/state/vae-average.pt" --decoder \
    --rate 0.7 --seconds "$1" >"$work/decoder.log" 2>&1
}
more=()
if [ "$(nvidia-smi -L | wc -l)" -gt 1 ]; then
  more=(--clips "$work/clips.pt")
  (
    export CUDA_VISIBLE_DEVICES=1
    python3 training/transformer.py --state "$work/state" --prepare "$prepare" --first-seed 400000 \
      --clips "$work/clips.pt" --only-clips >"$work/clips.log" 2>&1
    decoder $((seconds - prepare - 20))
  ) &
else
  decoder "$seconds"
fi
CUDA_VISIBLE_DEVICES=0 python3 training/transformer.py --state "$work/state" --seconds "$seconds" \
  --prepare "$prepare" --span 0 0.7 "${more[@]}" >"$work/transformer.log" 2>&1
code=$?
wait
grep -hE "clips|pools|std|held-out" "$work"/*.log; tail -8 "$work/transformer.log"; tail -8 "$work/decoder.log"
cp "$work"/state/transformer-{average.pt,momentum.pt,samples.png} "$out"/
cp "$work"/decoder/vae-{average.pt,samples.png} "$out"/
tar cf "$out/second.tar" -C "$work" $(cd "$work"; ls ./*.log state/*.json state/*.png decoder/*.json decoder/*.png)
exit $code
