"""Speech in memory: one channel for the model, all channels for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from attrs import field, frozen

from .arrays import Samples

if TYPE_CHECKING:
    import numpy.typing as npt


def _as_samples(values: npt.ArrayLike) -> Samples:
    return np.ascontiguousarray(values, dtype=np.float32)


@frozen(kw_only=True, eq=False)
class Waveform:
    """Mono speech: ``samples`` is float32 [N], nominally within -1..1."""

    samples: Samples = field(converter=_as_samples, repr=False)
    sample_rate: int = 16000

    def __attrs_post_init__(self) -> None:
        _check(self.samples, 1, self.sample_rate)

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def cut(self, start_seconds: float | None = None, end_seconds: float | None = None) -> Self:
        """Return the part from ``start_seconds`` up to ``end_seconds``, both optional."""
        part = _span(self.samples, self.sample_rate, start=start_seconds, end=end_seconds)
        return type(self)(samples=self.samples[part], sample_rate=self.sample_rate)


@frozen(kw_only=True, eq=False)
class Track:
    """Speech or sound at its own rate: ``samples`` is float32 [N, channels]."""

    samples: Samples = field(converter=_as_samples, repr=False)
    sample_rate: int

    def __attrs_post_init__(self) -> None:
        _check(self.samples, 2, self.sample_rate)

    @property
    def channels(self) -> int:
        """How many channels."""
        return self.samples.shape[1]

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def cut(self, start_seconds: float | None = None, end_seconds: float | None = None) -> Self:
        """Return the part from ``start_seconds`` up to ``end_seconds``, both optional."""
        part = _span(self.samples, self.sample_rate, start=start_seconds, end=end_seconds)
        return type(self)(samples=self.samples[part], sample_rate=self.sample_rate)

    def scaled(self, gain: float) -> Self:
        """Return the track times ``gain``, turned down as far as needed to stay within -1..1."""
        peak = float(np.abs(self.samples).max(initial=0.0)) * gain
        safe = gain if peak <= 1.0 else gain / peak
        return type(self)(samples=self.samples * np.float32(safe), sample_rate=self.sample_rate)


def _check(samples: Samples, dimensions: int, sample_rate: int) -> None:
    if samples.ndim != dimensions:
        message = f"samples must have {dimensions} dimension(s), got shape {samples.shape}"
        raise ValueError(message)
    if sample_rate < 1:
        message = f"sample_rate must be positive, got {sample_rate}"
        raise ValueError(message)


def _span(samples: Samples, rate: int, *, start: float | None, end: float | None) -> slice:
    length = len(samples)
    first = 0 if start is None else round(start * rate)
    last = length if end is None else min(round(end * rate), length)
    if not 0 <= first < last:
        message = (
            f"the part from {first / rate:.3f} s to {last / rate:.3f} s is empty; "
            f"the speech is {length / rate:.3f} s long"
        )
        raise ValueError(message)
    return slice(first, last)
