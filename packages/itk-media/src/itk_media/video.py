"""Reads the frames of a video by time, never all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from .sandbox import DEFAULT_LIMITS, Decoder, DecoderLimits

if TYPE_CHECKING:
    from pathlib import Path

    from .arrays import Pixels


class VideoFrames:
    """An open video; use it in a ``with`` block, or close it.

    Attributes:
        width: of the upright picture, in square pixels.
        height: likewise.
        duration_seconds: from the first frame until the end of the last.
        frames_per_second: the average rate that the file states, 0 when it states none.
        frames: how many frames the file holds, by its packets.
    """

    def __init__(self, path: Path, *, limits: DecoderLimits = DEFAULT_LIMITS) -> None:
        self._decoder = Decoder(path, "video", limits)
        facts = self._decoder.facts()
        self.width = int(facts["width"])
        self.height = int(facts["height"])
        self.duration_seconds = float(facts["duration_seconds"])
        self.frames_per_second = float(facts["frames_per_second"])
        self.frames = int(facts["frames"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding process; harmless when done before."""
        self._decoder.close()

    def frame_at(self, seconds: float) -> Pixels:
        """Return uint8 [H, W, 3] on screen at a moment after the first frame.

        Before the start it is the first frame, past the end the last one. Going forward
        decodes each frame once; going back lands on the keyframe before.
        """
        self._decoder.send({"seconds": float(seconds)})
        return self._frame()

    def frame_number(self, index: int) -> Pixels:
        """Return uint8 [H, W, 3] by place in the file, from 0; the last one when past the end."""
        if index < 0:
            message = f"a frame's number must be 0 or more, got {index}"
            raise ValueError(message)
        self._decoder.send({"number": int(index)})
        return self._frame()

    def _frame(self) -> Pixels:
        body = self._decoder.data(self.height * self.width * 3)
        return np.frombuffer(body, np.uint8).reshape(self.height, self.width, 3)


def open_video(path: Path, *, limits: DecoderLimits = DEFAULT_LIMITS) -> VideoFrames:
    """Open a video in a decoding process of its own; raises MediaError when it cannot be read."""
    return VideoFrames(path, limits=limits)
