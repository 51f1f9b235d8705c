"""How the front door is typed; checked, never run."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from itk_engine import (
    CheckpointFiles,
    Engine,
    EngineConfig,
    GenerationProgress,
    GenerationRequest,
    Lora,
    Prepared,
    StillPicture,
    VideoChunk,
)
from itk_media import Waveform
from itk_schema import GpuInfo, ModelInfo, Parameters

files = CheckpointFiles(
    base=Path("base"),
    adapter=Path("single.safetensors"),
    wav2vec=Path("wav2vec"),
    loras=(Lora(path=Path("fast.safetensors"), scale=1.0),),
)
engine = Engine.load(files, EngineConfig(device="cpu"), on_phase=print)
assert_type(engine, Engine)
assert_type(engine.model_info, ModelInfo)
assert_type(engine.gpu, GpuInfo)

request = GenerationRequest(
    prompt="a person speaks",
    picture=StillPicture(pixels=np.zeros((8, 8, 3), np.uint8)),
    speeches=(Waveform(samples=np.zeros(16000, np.float32)),),
    parameters=Parameters(),
    seed=1,
)
prepared = engine.prepare(request)
assert_type(prepared, Prepared)
assert_type(prepared.chunks, int)


def watch(progress: GenerationProgress) -> None:
    """Hear every step."""
    assert_type(progress.step, int)


chunks = engine.generate(prepared, on_progress=watch)
assert_type(chunks, Iterator[VideoChunk])
assert_type(next(chunks).frames, NDArray[np.uint8])
