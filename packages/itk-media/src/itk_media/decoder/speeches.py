"""Turns the sound of any file into float samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from itk_media.errors import TooLargeError, UnreadableMediaError, UnsupportedMediaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from itk_media.arrays import Samples
    from itk_media.decoder.wire import Parent

MOST_CHANNELS = 8
_BLOCK_SAMPLES = 1 << 20


def send_speech(file: BinaryIO, order: dict[str, Any], parent: Parent) -> None:
    """Send rate, channels and length, then the samples as float32 [N, channels].

    With ``mono_rate`` the channels are averaged, then resampled by soxr's high quality
    setting, in the order and precision of ``librosa.load(path, sr=mono_rate)``.
    """
    rate, samples = read_samples(
        file, max_seconds=float(order["max_seconds"]), mono="mono_rate" in order
    )
    if not len(samples):
        raise UnreadableMediaError("the file holds no sound (0 samples)", reason="empty")
    if not np.isfinite(samples).all():
        message = "the speech holds samples that are not numbers (NaN or infinity)"
        raise UnreadableMediaError(message, reason="not_finite")
    if order.get("beside_pictures"):
        samples = _shifted(samples, round(_seconds_after_pictures(file) * rate))
    if "mono_rate" in order:
        samples = resample(samples[:, 0], rate, int(order["mono_rate"]))[:, None]
        rate = int(order["mono_rate"])
    parent.facts({"sample_rate": rate, "channels": samples.shape[1], "samples": len(samples)})
    parent.data(np.ascontiguousarray(samples).data)


def resample(samples: Samples, rate: int, wanted_rate: int) -> Samples:
    """Resample float32 [N] to ceil(N * wanted / rate) samples, as librosa does."""
    if rate == wanted_rate:
        return samples
    import soxr

    length = int(np.ceil(len(samples) * (float(wanted_rate) / rate)))
    resampled = soxr.resample(samples, rate, wanted_rate, quality="soxr_hq")[:length]
    return np.pad(resampled, (0, length - len(resampled))).astype(np.float32, copy=False)


def read_samples(file: BinaryIO, *, max_seconds: float, mono: bool) -> tuple[int, Samples]:
    """Return the rate and float32 [N, channels], or [N, 1] of their average for ``mono``."""
    import soundfile

    try:
        with soundfile.SoundFile(file) as sound:
            _check_shape(sound.samplerate, sound.channels)
            blocks = cast(
                "Iterator[Samples]",
                sound.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True),
            )
            return sound.samplerate, _gather(blocks, sound.samplerate, max_seconds, mono=mono)
    except soundfile.LibsndfileError:
        file.seek(0)
    rate, blocks = _container_blocks(file)
    return rate, _gather(blocks, rate, max_seconds, mono=mono)


def _gather(blocks: Iterator[Samples], rate: int, max_seconds: float, *, mono: bool) -> Samples:
    kept: list[Samples] = []
    total = 0
    for block in blocks:
        total += len(block)
        if total > max_seconds * rate:
            message = f"the sound is longer than the {max_seconds:.0f} s allowed"
            raise TooLargeError(message, reason="too_long")
        # librosa averages the transposed array; the same expression gives the same bits.
        kept.append(np.mean(block.T, axis=0)[:, None] if mono else block)
    return np.concatenate(kept) if kept else np.zeros((0, 1), np.float32)


def _container_blocks(file: BinaryIO) -> tuple[int, Iterator[Samples]]:
    """Decode what libsndfile cannot read (MP4, MKV, AAC, ...) at its native rate."""
    from itk_media.decoder.containers import open_container

    container = open_container(file)
    if not container.streams.audio:
        raise UnsupportedMediaError("the file holds no sound, only pictures", reason="no_speech")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UnsupportedMediaError("the sound is coded in a way that cannot be decoded")
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    _check_shape(rate, channels)

    def blocks() -> Iterator[Samples]:
        import av
        import av.error

        convert = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)
        try:
            for frame in container.decode(stream):
                frame.pts = None
                for part in convert.resample(frame):
                    yield cast("Samples", part.to_ndarray()).reshape(-1, channels)
        except (av.error.FFmpegError, ValueError) as error:
            message = f"the sound cannot be decoded to its end: {error}"
            raise UnreadableMediaError(message) from error

    return rate, blocks()


def _seconds_after_pictures(file: BinaryIO) -> float:
    """Return how much later than the pictures the sound of a container begins."""
    from itk_media.decoder.containers import open_container

    file.seek(0)
    container = open_container(file)
    starts = [
        float((stream.start_time or 0) * (stream.time_base or 0))
        for stream in (*container.streams.audio[:1], *container.streams.video[:1])
    ]
    return starts[0] - starts[1] if len(starts) == 2 else 0.0


def _shifted(samples: Samples, later: int) -> Samples:
    """Move sound by padding or cutting its beginning."""
    return samples[-later:] if later < 0 else np.pad(samples, ((later, 0), (0, 0)))


def _check_shape(rate: int, channels: int) -> None:
    if not 1 <= channels <= MOST_CHANNELS:
        message = f"sound must have 1 to {MOST_CHANNELS} channels, got {channels}"
        raise UnsupportedMediaError(message)
    if not 1000 <= rate <= 768_000:
        message = f"sound must have a rate of 1 to 768 kHz, got {rate} Hz"
        raise UnsupportedMediaError(message)
