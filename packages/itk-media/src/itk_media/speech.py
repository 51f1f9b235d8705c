"""Reads the sound of any file: for the model, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import EncodeError
from .partial import partial_file
from .sandbox import DEFAULT_LIMITS, Decoder, DecoderLimits
from .tracks import Track, Waveform

if TYPE_CHECKING:
    from pathlib import Path

    from .arrays import Samples


def read_speech(
    path: Path, sample_rate: int = 16000, *, limits: DecoderLimits = DEFAULT_LIMITS
) -> Waveform:
    """Return mono speech, sample for sample what ``librosa.load(path, sr=sample_rate)`` gives.

    Files that libsndfile cannot read (MP4, MKV, AAC, ...) are decoded by FFmpeg and go
    through the same steps: channels averaged, then soxr's high quality resampling.
    Raises UnsupportedMediaError, TooLargeError or UnreadableMediaError.
    """
    samples, rate = _read(path, limits, mono_rate=sample_rate)
    return Waveform(samples=samples[:, 0], sample_rate=rate)


def read_track(
    path: Path, *, beside_pictures: bool = False, limits: DecoderLimits = DEFAULT_LIMITS
) -> Track:
    """Return the sound at its own rate and channels; errors as for ``read_speech``.

    With ``beside_pictures`` time 0 is the first picture of a video, as for its frames:
    sound that begins later is padded, sound that begins earlier is cut.
    """
    samples, rate = _read(path, limits, beside_pictures=beside_pictures)
    return Track(samples=samples, sample_rate=rate)


def write_track(track: Track | Waveform, path: Path) -> None:
    """Write sound as 16-bit WAV, whole or not at all; what lies beyond -1..1 is clipped."""
    import soundfile

    try:
        with partial_file(path) as part:
            soundfile.write(part, track.samples, track.sample_rate, format="WAV", subtype="PCM_16")
    except OSError as error:
        raise EncodeError.from_os(error, "the speech") from error
    except soundfile.LibsndfileError as error:
        message = f"the speech could not be written: {error.error_string}"
        raise EncodeError(message) from error


def _read(path: Path, limits: DecoderLimits, **order: Any) -> tuple[Samples, int]:
    with Decoder(path, "speech", limits, **order) as decoder:
        facts = decoder.facts()
        shape = (int(facts["samples"]), int(facts["channels"]))
        body = decoder.data(shape[0] * shape[1] * 4)
    return np.frombuffer(body, np.float32).reshape(shape), int(facts["sample_rate"])
