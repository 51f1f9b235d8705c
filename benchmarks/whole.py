"""Builds everything that a checkpoint holds, with random weights, and a request for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks import subjects
from itk_engine import GenerationRequest, StillPicture
from itk_engine.conditioning import PromptEncoder, SpeechEncoder, TextEncoder, VisionEncoder
from itk_engine.tiny import TINY_SIZES
from itk_engine.weights import Models, without_values
from itk_media import Waveform
from itk_schema import ModelInfo, Parameters

if TYPE_CHECKING:
    from benchmarks.cases import Bench

TINY_SCALE = 0.1
_RATE = 16_000


def random_models(bench: Bench, *, int8: bool = False) -> Models:
    """Build all models in the dtypes in which an engine reads them on this device.

    With `int8` transformer and text encoder are as the published int8 files have them.
    """
    on_gpu = bench.device.type == "cuda"
    sizes = TINY_SIZES
    torch.manual_seed(0)
    with without_values():
        text = TextEncoder(sizes.text if bench.tiny else None)
        clip = VisionEncoder(sizes.clip if bench.tiny else None)
        speech = SpeechEncoder(sizes.speech if bench.tiny else None)
    if int8:
        subjects.store_as_int8(text)
    words = text.config.vocab_size
    exact = torch.bfloat16 if on_gpu else torch.float32
    dit = subjects.random_transformer(
        sizes.dit if bench.tiny else bench.config, bench.device, exact, int8=int8
    )
    return Models(
        dit=dit,
        vae=subjects.random_vae(bench.device, torch.float32, tiny=bench.tiny),
        text=PromptEncoder(
            lambda said: [ord(letter) % (words - 2) + 2 for letter in said],
            subjects.with_random_weights(text, bench.device, exact),
        ),
        clip=subjects.with_random_weights(
            clip, bench.device, torch.float16 if on_gpu else torch.float32
        ),
        speech=subjects.with_random_weights(speech, bench.device, torch.float32),
        bucket_scale=TINY_SCALE if bench.tiny else 1.0,
        info=ModelInfo(name="random", weights="random", precision=str(exact)[6:]),
    )


def random_request(
    bench: Bench, size: str, *, steps: int, guided: bool = False, speakers: int = 1
) -> GenerationRequest:
    """Ask for one chunk; one branch a step unless `guided`, then three."""
    frames = bench.bucket(size).frames
    random = np.random.default_rng(5)
    samples = round(frames / 25 * _RATE) + _RATE // 2
    speeches = tuple(
        Waveform(samples=random.normal(0, 0.1, samples).astype(np.float32), sample_rate=_RATE)
        for _ in range(speakers)
    )
    return GenerationRequest(
        prompt=f"a person speaks, {size}",
        picture=StillPicture(pixels=random.integers(0, 255, (700, 700, 3), dtype=np.uint8)),
        speeches=speeches,
        parameters=Parameters(
            size=f"infinitetalk-{size}",
            mode="clip",
            frame_num=frames,
            sample_steps=steps,
            sample_text_guide_scale=5.0 if guided else 1.0,
            sample_audio_guide_scale=4.0 if guided else 1.0,
        ),
        seed=7,
    )
