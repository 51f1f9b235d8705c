"""Says what the worker needs of an engine, so that tests can pass another one in."""

# ruff: noqa: D102  (the class says what its attributes are)

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from attrs import frozen

from itk_media import Samples, Scene, VideoFrames, Waveform
from itk_schema import Box, Parameters, SpeakerBoxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from itk_schema import GpuInfo, ModelInfo


@frozen(kw_only=True)
class Order:
    """One video to be made: everything decided, everything fetched."""

    prompt: str
    negative_prompt: str
    picture: np.ndarray | VideoFrames  # a still as uint8 [H, W, 3], or a dub
    speeches: tuple[Waveform, ...]  # 16 kHz mono, one a speaker
    parameters: Parameters
    seed: int
    speech_loudness: Literal["normalise", "keep"] = "normalise"
    bbox: Box | SpeakerBoxes | None = None  # pixels of the upright first frame
    masks: tuple[np.ndarray, ...] = ()  # one a speaker, of the first frame's size
    scenes: tuple[Scene, ...] = ()  # of a dub, each of which is made afresh; none: all is one


class Step(Protocol):
    """Where a running generation is."""

    @property
    def stage(self) -> Literal["preprocess", "sampling", "decode"]: ...
    @property
    def chunk(self) -> int: ...
    @property
    def chunks(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...


class ChunkTimings(Protocol):
    """How long the parts of one chunk took."""

    @property
    def preprocess_ms(self) -> float: ...
    @property
    def sampling_ms(self) -> float: ...
    @property
    def decode_ms(self) -> float: ...


class Chunk(Protocol):
    """New frames, in order."""

    @property
    def frames(self) -> np.ndarray: ...  # uint8 [F, H, W, 3]
    @property
    def timings(self) -> ChunkTimings: ...
    @property
    def predictions(self) -> int: ...  # that the model was asked for
    @property
    def skipped(self) -> int: ...  # of them, answered by TeaCache


class Prepared(Protocol):
    """A generation whose sizes are known and whose conditions are computed."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def chunks(self) -> int: ...


class Synthesiser(Protocol):
    """Speaks text: itk_engine.tts.Synthesiser, said here so that nothing heavy is loaded."""

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def voices(self) -> tuple[str, ...]: ...
    def say(
        self, text: str, *, voice: str, language: str | None = None, speed: float = 1.0
    ) -> Iterator[Samples]:
        """Yield one line of text as mono float32 [N], piece by piece."""
        ...


class VideoEngine(Protocol):
    """Makes videos; used from one thread at a time."""

    @property
    def model_info(self) -> ModelInfo: ...
    @property
    def gpu(self) -> GpuInfo: ...
    def prepare(self, order: Order) -> Prepared:
        """Compute what does not change while the video is made."""
        ...

    def generate(
        self, prepared: Prepared, *, on_progress: Callable[[Step], None]
    ) -> Iterator[Chunk]:
        """Yield the video's frames; on_progress may raise, which ends the generation."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...
