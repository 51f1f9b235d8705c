"""Small media files, made on the fly."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

BARS = 12


def numbered_frame(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Draw a number as twelve black or white bars, which survive any codec."""
    bits = [(number >> bit) & 1 for bit in range(BARS)]
    columns = np.repeat(np.array(bits, np.uint8) * 255, width // BARS)
    return np.broadcast_to(columns[None, :, None], (height, width, 3)).copy()


def frame_number(pixels: np.ndarray) -> int:
    """Read the number back."""
    bars = pixels[..., 0].reshape(pixels.shape[0], BARS, -1).mean(axis=(0, 2)) > 127
    return sum(int(bit) << place for place, bit in enumerate(bars))


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Give float32 [N, channels]: a different quiet chord on each channel."""
    time = np.arange(round(seconds * rate)) / rate
    waves = [
        0.2 * np.sin(2 * np.pi * 220 * (k + 1) * time) * (1 + np.sin(5 * time)) / 2
        for k in range(channels)
    ]
    return np.stack(waves, axis=1).astype(np.float32)


def write_video(
    path: Path,
    *,
    rate: Fraction | int = 25,
    count: int = 50,
    codec: str = "libx264",
    moments: list[Fraction] | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    rotation: int | None = None,
    sound: np.ndarray | None = None,
    size: tuple[int, int] = (96, 64),
) -> Path:
    """Encode numbered frames at a rate, or at given moments in seconds."""
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        clock = Fraction(1, 1000) if moments else 1 / Fraction(rate)
        stream.time_base = stream.codec_context.time_base = clock
        if rotation is not None:
            stream.set_display_rotation(rotation)
        voice = (
            container.add_stream("aac", rate=16000, layout="mono") if sound is not None else None
        )
        for place in range(count if moments is None else len(moments)):
            frame = av.VideoFrame.from_ndarray(numbered_frame(place, *size))
            frame.pts = place if moments is None else round(moments[place] / clock)
            frame.time_base = clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound.T), format="fltp", layout="mono"
            )
            block.sample_rate = 16000
            container.mux(voice.encode(block))
            container.mux(voice.encode(None))
    return path


@pytest.fixture
def samples() -> Path:
    """Give the folder of real pictures and speech, or skip."""
    place = os.environ.get("ITK_SAMPLES")
    folder = Path(place) if place else Path(__file__).parents[4] / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("the samples folder is not on this machine (ITK_SAMPLES names it)")
    return folder


@pytest.fixture(scope="session")
def media() -> SimpleNamespace:
    """Give the makers of this file to tests."""
    return SimpleNamespace(
        frame_number=frame_number,
        numbered_frame=numbered_frame,
        tone=tone,
        write_video=write_video,
    )
