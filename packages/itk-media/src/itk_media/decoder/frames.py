"""Finds the frame of a video for a moment or a number, decoding each frame once."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Self

import av.error
from attrs import define, field

from itk_media.decoder.containers import open_container, video_stream
from itk_media.errors import TooLargeError, UnreadableMediaError, UnsupportedMediaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_NOMINAL_RATE = 25.0


@define
class PacketIndex:
    """What the packets say, without decoding: span in seconds, count, and where seeks land.

    ``clockless`` files (AVI, raw streams) carry no presentation times: their frames are
    counted at the nominal rate and they are read from the beginning.
    """

    start_seconds: float = 0.0
    end_seconds: float = 0.0
    frames: int = 0
    clockless: bool = False
    keyframes_seconds: list[float] = field(factory=list, repr=False)

    @classmethod
    def scan(cls, container: InputContainer, stream: VideoStream, max_frames: int) -> Self:
        """Read every packet of the stream once; a file that was cut short is an error."""
        tick = float(stream.time_base or 0)
        step = 1 / float(stream.guessed_rate or _NOMINAL_RATE)
        start, end, reached = float("inf"), float("-inf"), 0.0
        count, clockless = 0, container.format.name == "avi"
        keys: list[float] = []
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            moment = (packet.pts if packet.pts is not None else packet.dts or 0) * tick
            after = moment + (packet.duration or 0) * tick
            reached = max(reached, after)
            if packet.is_discard:
                continue
            count += 1
            if count > max_frames:
                raise TooLargeError(f"the video has more than {max_frames} frames")
            clockless = clockless or packet.pts is None
            start, end = min(start, moment), max(end, after)
            if packet.is_keyframe:
                keys.append(moment)
        _check_whole(container, stream, reached)
        if clockless or not count:
            return cls(end_seconds=count * step, frames=count, clockless=True)
        return cls(
            start_seconds=start,
            end_seconds=max(end, start + step),
            frames=count,
            keyframes_seconds=sorted(keys),
        )


def _check_whole(container: InputContainer, stream: VideoStream, reached: float) -> None:
    """Compare how far the packets reach with the length that the header promises."""
    promised = float((stream.duration or 0) * (stream.time_base or 0))
    promised += float((stream.start_time or 0) * (stream.time_base or 0))
    if not stream.duration and container.duration and len(container.streams) == 1:
        promised = container.duration / 1e6
    if reached < promised - max(0.5, 0.02 * promised):
        message = (
            f"the video is cut short: its header promises {promised:.1f} s, "
            f"its pictures end at {reached:.1f} s"
        )
        raise UnreadableMediaError(message, "cut_short")


class FrameFinder:
    """A cursor over the decoded frames of one video; time 0 is its first frame."""

    def __init__(self, file: BinaryIO, *, max_pixels: int, max_frames: int) -> None:
        self._file = file
        self._max_pixels = max_pixels
        self._open()
        self.index = PacketIndex.scan(self._container, self._stream, max_frames)
        self._restart()
        self._zero = self._current_moment

    @property
    def duration_seconds(self) -> float:
        """From the first frame until the end of the last one."""
        return self.index.end_seconds - max(self._zero, self.index.start_seconds)

    @property
    def stream(self) -> VideoStream:
        """The stream that is being decoded."""
        return self._stream

    def at(self, seconds: float) -> VideoFrame:
        """Return the frame on screen at a moment, the last one when past the end."""
        target = max(seconds, 0.0) + self._zero + self._tolerance_seconds
        if target < self._current_moment or self._has_keyframe_between_here_and(target):
            self._seek(target)
        while self._upcoming is not None and self._upcoming_moment <= target:
            self._advance()
        return self._frame()

    def number(self, index: int) -> VideoFrame:
        """Return a frame by its place in the file, the last one when past the end.

        Places are counted from the beginning, because no container promises them.
        """
        if self._position is None or self._position > index:
            self._restart()
        while self._upcoming is not None and (self._position or 0) < index:
            self._advance()
        return self._frame()

    def __iter__(self) -> Iterator[tuple[float, VideoFrame]]:
        """Give every frame from the first with its moment in seconds."""
        self._restart()
        while True:
            yield self._current_moment - self._zero, self._frame()
            if self._upcoming is None:
                return
            self._advance()

    def _open(self) -> None:
        self._file.seek(0)
        self._container = open_container(self._file)
        stream = video_stream(self._container, self._max_pixels)
        if stream is None:
            raise UnsupportedMediaError("the file holds no video, only sound")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 4
        self._stream: VideoStream = stream
        self._step_seconds = 1 / float(stream.guessed_rate or _NOMINAL_RATE)
        # A frame's moment is rounded to the container's clock.
        self._tolerance_seconds = min(float(stream.time_base or 0) / 2, 0.001)

    def _restart(self) -> None:
        self._container.close()
        self._open()
        self._start_decoding()
        self._position = 0
        self._frame()

    def _start_decoding(self) -> None:
        self._decoded = self._container.decode(self._stream)
        self._position: int | None = None
        self._current: VideoFrame | None = None
        self._upcoming: VideoFrame | None = None
        self._current_moment = self._upcoming_moment = -self._step_seconds
        self._advance()
        self._advance()

    def _advance(self) -> None:
        self._current, self._current_moment = self._upcoming, self._upcoming_moment
        if self._position is not None:
            self._position += 1
        try:
            self._upcoming = next(self._decoded, None)
        except av.error.FFmpegError as error:
            message = f"the video cannot be decoded after {self._current_moment:.2f} s: {error}"
            raise UnreadableMediaError(message) from error
        if self._upcoming is not None:
            self._upcoming_moment = self._moment(self._upcoming)

    def _moment(self, frame: VideoFrame) -> float:
        if self.index.clockless or frame.pts is None or frame.time_base is None:
            return self._current_moment + self._step_seconds
        return float(frame.pts * frame.time_base)

    def _has_keyframe_between_here_and(self, target: float) -> bool:
        landing = self._keyframe_before(target)
        return landing is not None and landing > max(self._current_moment, self._upcoming_moment)

    def _keyframe_before(self, target: float) -> float | None:
        keys = self.index.keyframes_seconds
        place = bisect_right(keys, target)
        return keys[place - 1] if place else None

    def _seek(self, target: float) -> None:
        """Land on a frame at or before the target: by keyframe, else from the beginning."""
        landing = self._keyframe_before(target)
        if landing is not None and landing > self._zero and self._stream.time_base:
            try:
                offset = round(landing / float(self._stream.time_base))
                self._container.seek(offset, stream=self._stream, backward=True)
                self._start_decoding()
            except (av.error.FFmpegError, UnreadableMediaError):
                self._current = None
            if self._current is not None and self._current_moment <= target:
                return
        self._restart()

    def _frame(self) -> VideoFrame:
        if self._current is None:
            raise UnreadableMediaError("the video holds no frame that can be decoded")
        return self._current
