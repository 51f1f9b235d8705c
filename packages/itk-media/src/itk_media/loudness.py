"""Brings speech to the loudness the model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import SpeechTooShortError

if TYPE_CHECKING:
    from .arrays import Samples

TARGET_LUFS = -23.0
SHORTEST_SECONDS = 0.4


def normalise_loudness(
    samples: Samples, sample_rate: int = 16000, target_lufs: float = TARGET_LUFS
) -> Samples:
    """Return float32 [N] at the wanted integrated loudness (ITU-R BS.1770, ``pyloudnorm``).

    Silence comes back unchanged; nothing is clipped. Raises SpeechTooShortError under 0.4 s.
    """
    gain = loudness_gain(samples, sample_rate, target_lufs)
    if gain == 1.0:
        return np.asarray(samples, np.float32)
    return (np.asarray(samples, np.float64) * gain).astype(np.float32)


def loudness_gain(
    samples: Samples, sample_rate: int = 16000, target_lufs: float = TARGET_LUFS
) -> float:
    """Return the factor that brings mono [N] or [N, channels] speech to the wanted loudness.

    The factor is 10 ** ((target - loudness) / 20), and 1 for silence (whose loudness is
    not a number within -100..100 LUFS). Raises SpeechTooShortError under 0.4 s.
    """
    seconds = len(samples) / sample_rate
    if seconds < SHORTEST_SECONDS:
        message = f"speech must be at least {SHORTEST_SECONDS} s long, got {seconds:.3f} s"
        raise SpeechTooShortError(message)
    import pyloudnorm

    meter = pyloudnorm.Meter(sample_rate)
    # A silent signal has no block above the gate; the mean of none warns and gives -inf.
    with np.errstate(all="ignore"):
        measured = float(meter.integrated_loudness(np.asarray(samples)))
    if not abs(measured) <= 100:
        return 1.0
    return float(10.0 ** ((target_lufs - measured) / 20.0))
