"""Splits a video at its cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .sandbox import DEFAULT_LIMITS, Decoder, DecoderLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHORTEST_SCENE_SECONDS = 0.5


@frozen(kw_only=True)
class Scene:
    """A stretch of a video between two cuts."""

    start_seconds: float
    end_seconds: float

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.end_seconds - self.start_seconds


def find_scenes(
    path: Path,
    *,
    shortest_seconds: float = SHORTEST_SCENE_SECONDS,
    limits: DecoderLimits = DEFAULT_LIMITS,
    check: Callable[[], None] | None = None,
) -> tuple[Scene, ...]:
    """Return the scenes of a video in order; a video without cuts is one scene.

    Scenes of at most ``shortest_seconds`` are left out, so whoever splits speech along
    with the pictures must take the scenes' own times: pairs then never slip. Every frame
    is looked at once, in a decoding process of its own. ``check`` is called several times a
    second meanwhile; what it raises ends the search and its process.
    """
    with Decoder(path, "cuts", limits, check=check) as decoder:
        while "cuts" not in (facts := decoder.facts()):
            if check is not None:
                check()
            decoder.wait_longer()
    ends = [*map(float, facts["cuts"]), float(facts["duration_seconds"])]
    starts = [0.0, *ends[:-1]]
    scenes = tuple(
        Scene(start_seconds=start, end_seconds=end)
        for start, end in zip(starts, ends, strict=True)
        if end - start > shortest_seconds
    )
    return scenes or (Scene(start_seconds=0.0, end_seconds=ends[-1]),)
