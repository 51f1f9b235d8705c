"""What others need on the same kind of card, measured in the same way."""

# Both were measured on 2026-11-22 on one NVIDIA H200 with random weights of the published
# sizes, torch 2.11 and CUDA 13, PyTorch's cuDNN attention in both: MeiGen-AI/InfiniteTalk at
# commit 0107cd9 (the reference) and ModelTC/LightX2V at commit f8aee98, its InfiniteTalk
# classes with bfloat16 weights and its fp8 linear layers through torch._scaled_mm.
from __future__ import annotations

# name of a measurement -> seconds of the reference, of LightX2V in bfloat16, of LightX2V at fp8
SECONDS: dict[str, tuple[float | None, float | None, float | None]] = {
    "forward 480, one speaker": (4.85, 3.25, 2.58),
    "forward 480, two speakers": (5.33, 3.50, 2.84),
    "forward 480, one speaker, cuDNN attention": (4.85, 3.25, 2.58),
    "forward 480, two speakers, cuDNN attention": (5.33, 3.50, 2.84),
    "fp8, 480": (4.85, 3.25, 2.58),
    "fp8, 720": (16.64, 11.5, 10.3),
    "forward 720, one speaker": (16.64, 11.5, 10.3),
    "forward 720, two speakers": (17.80, 12.3, None),
    "forward 720, one speaker, cuDNN attention": (16.64, 11.5, 10.3),
    "autoencoder 480 float32, encode": (1.74, None, None),
    "autoencoder 480 float32, decode": (2.84, None, None),
    "autoencoder 480 bfloat16, encode": (None, 1.06, None),
    "autoencoder 480 bfloat16, decode": (2.06, 1.68, None),
    "autoencoder 720 float32, encode": (4.08, None, None),
    "autoencoder 720 float32, decode": (6.52, None, None),
    "autoencoder 720 bfloat16, encode": (None, 2.36, None),
    "autoencoder 720 bfloat16, decode": (None, 3.72, None),
    "chunk 480, 4 steps, one branch": (None, 15.9, 13.2),
}
