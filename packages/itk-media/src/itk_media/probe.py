"""Says what a media file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import fields_dict, frozen

from .sandbox import DEFAULT_LIMITS, Decoder, DecoderLimits

if TYPE_CHECKING:
    from pathlib import Path


@frozen(kw_only=True)
class MediaProbe:
    """Facts about a file; width and height are those of the upright picture."""

    kind: Literal["image", "video", "audio"]
    mime: str
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    frames_per_second: float | None = None
    duration_seconds: float | None = None
    has_audio: bool = False
    sample_rate: int | None = None
    channels: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None


def probe(path: Path, *, limits: DecoderLimits = DEFAULT_LIMITS) -> MediaProbe:
    """Look at a file in a decoding process of its own; raises MediaError when it is no media."""
    with Decoder(path, "probe", limits) as decoder:
        facts = decoder.facts()
    known = fields_dict(MediaProbe)
    return MediaProbe(**{name: value for name, value in facts.items() if name in known})
