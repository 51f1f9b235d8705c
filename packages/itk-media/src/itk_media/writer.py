"""Writes an MP4 while its frames arrive."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import numpy as np

from .errors import EncodeError
from .partial import partial_path, publish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from .arrays import Pixels, Samples
    from .tracks import Track

MADE_BY_A_MODEL = (
    "Made by a generative model. "
    "Digital source type: http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
)
_BT709 = 1
_LIMITED = 1
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_LAYOUTS = {1: "mono", 2: "stereo"}


class VideoWriter:
    """Encodes H.264 (yuv420p, BT.709, limited range) with AAC speech, in one pass.

    Frames are encoded and interleaved with the speech as they come, so memory does not
    grow with length. The index is put in front when the file is closed, and only then does
    the file appear under its name. Leaving the ``with`` block by an error removes it.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        frames_per_second: int = 25,
        track: Track | None = None,
        metadata: Mapping[str, str] | None = None,
        quality: int = 18,
        speed: str = "fast",
    ) -> None:
        """Open the file.

        Args:
            path: where the finished video appears; ``.part`` is added until then.
            width: of the frames; an odd width or height is made even by repeating the
                last column or row, because 4:2:0 pictures have even sides.
            height: likewise.
            frames_per_second: of the video.
            track: speech; cut or padded with silence to the length of the video.
            metadata: container tags, for instance ``title`` and ``comment``; a
                ``description`` that says a model made the video is always added.
            quality: x264's constant rate factor; lower is better.
            speed: x264's preset.
        """
        self.path = path
        self.width, self.height = width, height
        self.frames_per_second = frames_per_second
        self.frames_written = 0
        self._part = partial_path(path)
        self._track = track
        self._speech_sent = 0
        self._closed = False
        import av

        try:
            self._part.touch()  # FFmpeg opens it with the first packet, which is late to find out
        except OSError as error:
            raise EncodeError.from_os(error, "the video") from error
        self._container = av.open(
            str(self._part), "w", format="mp4", options={"movflags": "+faststart"}
        )
        self._container.metadata.update({"description": MADE_BY_A_MODEL, **(metadata or {})})
        self._video = self._add_video(quality, speed)
        self._speech = None if track is None else self._add_speech(track)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(self, frames: Pixels) -> None:
        """Encode uint8 [F, H, W, 3]; speech up to the same moment goes along."""
        expected = (self.height, self.width, 3)
        if frames.ndim != 4 or frames.shape[1:] != expected or frames.dtype != np.uint8:
            message = (
                f"frames must be uint8 [F, {self.height}, {self.width}, 3], "
                f"got {frames.dtype} {list(frames.shape)}"
            )
            raise ValueError(message)
        with self._translated():
            for pixels in frames:
                picture = _to_yuv(pixels)
                picture.pts = self.frames_written
                picture.time_base = Fraction(1, self.frames_per_second)
                self.frames_written += 1
                self._container.mux(self._video.encode(picture))
                self._send_speech(last=False)

    def close(self) -> None:
        """Finish the file and give it its name; harmless when done before."""
        if self._closed:
            return
        if not self.frames_written:
            self.abandon()
            raise EncodeError("a video needs at least one frame, got none", "no_frames")
        with self._translated():
            self._container.mux(self._video.encode(None))
            self._send_speech(last=True)
            self._container.close()
            self._closed = True
            publish(self._part, self.path)

    def abandon(self) -> None:
        """Stop and remove what was written."""
        if not self._closed:
            self._closed = True
            self._close_quietly()
        self._part.unlink(missing_ok=True)

    def _add_video(self, quality: int, speed: str) -> VideoStream:
        stream = self._container.add_stream(
            "libx264",
            rate=self.frames_per_second,
            options={"crf": str(quality), "preset": speed},
        )
        stream.width, stream.height = self.width + self.width % 2, self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, self.frames_per_second)
        coding = stream.codec_context
        coding.color_range = _LIMITED
        coding.colorspace = coding.color_primaries = coding.color_trc = _BT709
        return stream

    def _add_speech(self, track: Track) -> AudioStream:
        from .mixing import resample

        if track.sample_rate not in _AAC_RATES:
            track = resample(track, 48000)
        self._samples = _at_most_stereo(track.samples)
        self._rate = track.sample_rate
        channels = self._samples.shape[1]
        return self._container.add_stream(
            "aac", rate=self._rate, layout=_LAYOUTS[channels], bit_rate=96_000 * channels
        )

    def _send_speech(self, *, last: bool) -> None:
        """Encode speech up to the end of the newest frame, padding with silence at the end."""
        if self._speech is None:
            return
        import av

        until = round(self.frames_written * self._rate / self.frames_per_second)
        step = self._speech.codec_context.frame_size or 1024
        while until - self._speech_sent >= step or (last and self._speech_sent < until):
            size = min(step, until - self._speech_sent)
            block = self._samples[self._speech_sent : self._speech_sent + size]
            block = np.pad(block, ((0, size - len(block)), (0, 0)))
            sound = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block.T),
                format="fltp",
                layout=_LAYOUTS[self._samples.shape[1]],
            )
            sound.sample_rate = self._rate
            sound.pts, sound.time_base = self._speech_sent, Fraction(1, self._rate)
            self._speech_sent += size
            self._container.mux(self._speech.encode(sound))
        if last:
            self._container.mux(self._speech.encode(None))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Give FFmpeg's errors our words, and leave no half file behind."""
        try:
            yield
        except OSError as error:
            self.abandon()
            raise EncodeError.from_os(error, "the video") from error

    def _close_quietly(self) -> None:
        # The trailer of an unwanted file may fail for the reason that made it unwanted.
        with suppress(OSError, ValueError):
            self._container.close()


def _to_yuv(pixels: Pixels) -> VideoFrame:
    from av.video.frame import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace

    odd_height, odd_width = pixels.shape[0] % 2, pixels.shape[1] % 2
    if odd_height or odd_width:
        pixels = np.pad(pixels, ((0, odd_height), (0, odd_width), (0, 0)), mode="edge")
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels)).reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation="BICUBIC",
    )


def _at_most_stereo(samples: Samples) -> Samples:
    """Average more than two channels to one, as the model hears them."""
    return samples if samples.shape[1] <= 2 else samples.mean(axis=1, keepdims=True)
