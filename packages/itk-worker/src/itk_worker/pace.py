"""Remembers how fast this worker is, to refuse what cannot be done in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from itk_schema import Parameters

    from .port import Chunk, Prepared

Shape = tuple[int, int, int]  # width, height, frames of one chunk
MARGIN = 0.9  # an estimate is refused when even nine tenths of it are too long


@define
class TooSlowError(Exception):
    """The job's estimate does not fit into its time."""

    needed_seconds: float
    left_seconds: float

    def __str__(self) -> str:
        return (
            f"the video would take about {self.needed_seconds:.0f} s on this worker "
            f"and {self.left_seconds:.0f} s are left"
        )


@define
class Pace:
    """Seconds that one chunk took per step and branch, for each shape measured so far."""

    _seconds: dict[Shape, float] = field(factory=dict)

    def learn(self, prepared: Prepared, parameters: Parameters, chunk: Chunk) -> None:
        """Take a finished chunk into account."""
        timings = chunk.timings
        spent = (timings.preprocess_ms + timings.sampling_ms + timings.decode_ms) / 1000
        self._seconds[_shape(prepared, parameters)] = spent / _work(parameters)

    def estimate_seconds(self, prepared: Prepared, parameters: Parameters) -> float | None:
        """How long the whole video takes, or None when this shape was never made."""
        known = self._seconds.get(_shape(prepared, parameters))
        return None if known is None else known * _work(parameters) * prepared.chunks

    def require_time(
        self, prepared: Prepared, parameters: Parameters, left_seconds: float | None
    ) -> float | None:
        """The estimate, if there is one.

        Raises:
            TooSlowError: the estimate does not fit into the time that is left.
        """
        needed = self.estimate_seconds(prepared, parameters)
        if needed is not None and left_seconds is not None and needed * MARGIN > left_seconds:
            raise TooSlowError(needed_seconds=needed, left_seconds=left_seconds)
        return needed


def _shape(prepared: Prepared, parameters: Parameters) -> Shape:
    return prepared.width, prepared.height, parameters.frame_num


def _work(parameters: Parameters) -> int:
    by_text = parameters.sample_text_guide_scale != 1
    by_speech = parameters.sample_audio_guide_scale != 1
    return parameters.sample_steps * (1 + by_text + by_speech)
