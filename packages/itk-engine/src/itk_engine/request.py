"""What a caller asks of the engine, and what comes back."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from itk_engine.chunks import FRAMES_PER_SECOND
from itk_media import VideoFrames, Waveform
from itk_schema import Parameters

Stage = Literal["preprocess", "sampling", "decode"]

_SLACK_SECONDS = 1e-6  # of moments that were computed in two ways
_JUST_BEFORE_SECONDS = 0.5 / FRAMES_PER_SECOND


class Picture(Protocol):
    """What the video shows: one picture, or one that moves."""

    @property
    def is_still(self) -> bool:
        """Whether every frame is the same."""
        ...

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return the upright RGB picture [h, w, 3] at a frame number of 25 frames a second."""
        ...


@frozen(kw_only=True, eq=False)
class StillPicture:
    """One upright RGB picture [h, w, 3]."""

    pixels: NDArray[np.uint8] = field()

    @pixels.validator
    def _check_pixels(self, _: object, value: NDArray[np.uint8]) -> None:
        if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
            message = f"a picture must be uint8 [h, w, 3], got {value.dtype} {list(value.shape)}"
            raise ValueError(message)

    @property
    def is_still(self) -> bool:
        """Whether every frame is the same: yes."""
        return True

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return the picture, whatever the frame."""
        del index
        return self.pixels


@frozen(kw_only=True, eq=False)
class MovingPicture:
    """A video that people are dubbed in, taken by time whatever its own frame rate.

    `end` says what it shows when the speech outlasts it: its last frame, or itself backwards
    and forwards. `scenes_seconds` are start and end of each scene, as `itk_media.find_scenes`
    finds them; they matter where scenes are split. A stretch that belongs to none, being too
    short, is passed over: while it lasts, the frame before it is shown.
    """

    video: VideoFrames
    end: Literal["hold", "bounce"] = "hold"
    scenes_seconds: tuple[tuple[float, float], ...] = ()

    @property
    def is_still(self) -> bool:
        """Whether every frame is the same: no."""
        return False

    def cuts_within(self, frames: int) -> tuple[int, ...]:
        """Return the frames at which another scene begins, of the first `frames` of 25 a second.

        A video that bounces meets its cuts from both sides.
        """
        starts = [start for start, _ in self.scenes_seconds]
        seen = [
            bisect_right(starts, self._moment(index) + _SLACK_SECONDS) for index in range(frames)
        ]
        # What lies before the first scene is passed over, and so belongs to it.
        seen = [max(scene, 1) for scene in seen]
        return tuple(index for index in range(1, frames) if seen[index] != seen[index - 1])

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Return the picture that is on screen at this frame of a 25 fps video."""
        return self.video.frame_at(self._shown(self._moment(index)))

    def _moment(self, index: int) -> float:
        """Return the moment of the film that a frame of the result shows."""
        seconds = index / FRAMES_PER_SECOND
        if self.end == "bounce":
            return bounced(seconds, self.video.duration_seconds)
        return seconds

    def _shown(self, seconds: float) -> float:
        """Return the moment that stands for one that is passed over, or the moment itself."""
        if not self.scenes_seconds:
            return seconds
        starts = [start for start, _ in self.scenes_seconds]
        scene = bisect_right(starts, seconds + _SLACK_SECONDS)
        if scene == 0:
            return starts[0]
        end = self.scenes_seconds[scene - 1][1]
        last = scene == len(starts) and end >= self.video.duration_seconds - _SLACK_SECONDS
        if last or seconds + _SLACK_SECONDS < end:
            return seconds
        return end - _JUST_BEFORE_SECONDS


def bounced(seconds: float, duration_seconds: float) -> float:
    """Return where a video is that plays forwards, backwards, forwards, without end."""
    last = max(duration_seconds - 1 / FRAMES_PER_SECOND, 0.0)
    if last == 0.0:
        return 0.0
    turn = seconds % (2 * last)
    return turn if turn <= last else 2 * last - turn


@frozen(kw_only=True, eq=False)
class GenerationRequest:
    """One video to make.

    Args:
        prompt: what happens in the picture.
        picture: where it happens.
        speeches: one or two, 16 kHz mono, at the loudness in which they were recorded.
        parameters: every generation parameter, decided.
        seed: seed of the noise.
        boxes: per speaker where the speaker is, [x0, y0, x1, y1] in pixels of the upright
            first frame, x to the right, y down. None: the left and the right half. One
            speaker with a box: the box speaks, the rest stays silent.
        masks: in place of boxes, per speaker an array [h, w] of the first frame's size that
            is not zero where the speaker is.
        negative_prompt: what should not happen; None: what the parameters say.
        speech_loudness: "normalise" brings each speech to -23 LUFS, as the model learnt it;
            "keep" is for speech that a synthesiser made, whose loudness is known.
    """

    prompt: str
    picture: Picture
    speeches: tuple[Waveform, ...]
    parameters: Parameters
    seed: int
    boxes: tuple[Sequence[float], ...] = ()
    masks: tuple[NDArray[np.generic], ...] = ()
    negative_prompt: str | None = None
    speech_loudness: Literal["normalise", "keep"] = "normalise"


@frozen(kw_only=True)
class GenerationProgress:
    """Where a generation is: chunk `chunk` of `chunks`, after step `step` of `steps`."""

    stage: Stage
    chunk: int
    chunks: int
    step: int
    steps: int


@frozen(kw_only=True)
class ChunkTimings:
    """How long the parts of one chunk took."""

    preprocess_ms: float
    sampling_ms: float
    decode_ms: float


@frozen(kw_only=True, eq=False)
class VideoChunk:
    """The frames that one chunk adds to the video, uint8 RGB [F, H, W, 3].

    Of `predictions` the model was asked for, `skipped` were answered by TeaCache.
    """

    index: int
    frames: NDArray[np.uint8]
    timings: ChunkTimings
    predictions: int
    skipped: int
