"""Measures how far speech heard in stretches is from the same speech heard whole.

    python -m itk_engine.parity.stretches WAV2VEC_DIR SPEECH

The whole needs memory that grows with the square of the length: some minutes are enough.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from itk_engine.conditioning.stretches import Stretches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from itk_engine.conditioning import SpeechEncoder
    from itk_media import Samples

_NEVER_WHOLE = 0.0
_ALWAYS_WHOLE = float("inf")


@frozen(kw_only=True)
class Deviation:
    """Root mean square differences of features, over the features' standard deviation."""

    overall: float
    median_frame: float
    worst_frame: float
    worst_second: float

    def __str__(self) -> str:
        return (
            f"stretches deviate from the whole by {self.overall:.2%} of the features' standard "
            f"deviation; the median frame by {self.median_frame:.2%}, the worst, at "
            f"{self.worst_second:.1f} s, by {self.worst_frame:.2%}"
        )


def deviation(
    encoder: SpeechEncoder, samples: Samples, stretches: Stretches | None = None
) -> Deviation:
    """Compare speech [N] at 16 kHz heard in stretches with the same heard whole."""
    from attrs import evolve

    stretches = stretches or Stretches()
    whole = encoder.embed(samples, stretches=evolve(stretches, whole_seconds=_ALWAYS_WHOLE))
    parts = encoder.embed(samples, stretches=evolve(stretches, whole_seconds=_NEVER_WHOLE))
    spread = whole.std()
    frames = (parts - whole).square().mean((1, 2)).sqrt() / spread
    worst = int(frames.argmax())
    return Deviation(
        overall=float((parts - whole).square().mean().sqrt() / spread),
        median_frame=float(frames.median()),
        worst_frame=float(frames[worst]),
        worst_second=worst / 25,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the deviation for the encoder in a folder and a speech."""
    from itk_engine.weights import read_speech_encoder
    from itk_media import read_speech

    parser = argparse.ArgumentParser(prog="python -m itk_engine.parity.stretches")
    parser.add_argument("folder", type=Path, metavar="WAV2VEC_DIR")
    parser.add_argument("speech", type=Path, metavar="SPEECH")
    options = parser.parse_args(arguments)
    encoder = read_speech_encoder(options.folder)
    sys.stdout.write(f"{deviation(encoder, read_speech(options.speech).samples)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
