"""An engine without a model, whose behaviour a prompt asks for, and small inputs for it."""

import base64
import io
import os
import re
import signal
import struct
import time
import wave
import zlib
from pathlib import Path

import numpy as np
from attrs import frozen

from itk_schema import GpuInfo, ModelInfo
from itk_worker.real_engine import Loaded

WIDTH, HEIGHT, FPS = 64, 48, 25


@frozen(kw_only=True)
class FakeStep:
    """Where the fake generation is."""

    stage: str
    chunk: int
    chunks: int
    step: int = 0
    steps: int = 0


@frozen(kw_only=True)
class FakeTimings:
    """What the fake chunk took."""

    preprocess_ms: float = 0.01
    sampling_ms: float = 0.02
    decode_ms: float = 0.03


@frozen(kw_only=True, eq=False)
class FakeChunk:
    """Frames of one colour."""

    index: int
    frames: np.ndarray
    timings: FakeTimings = FakeTimings()
    predictions: int = 8
    skipped: int = 0


@frozen(kw_only=True)
class FakePrepared:
    """What a fake generation knows beforehand."""

    prompt: str
    seed: int
    steps: int
    chunks: int
    frames: int
    width: int = WIDTH
    height: int = HEIGHT


class FakeOutOfMemoryError(Exception):
    """What the real engine raises when a card is full."""


FakeOutOfMemoryError.__module__ = "itk_engine.errors"
FakeOutOfMemoryError.__name__ = "OutOfMemoryError"


class FakeEngine:
    """Makes grey videos; words in the prompt such as [slow], [oom], [die] change what happens."""

    def __init__(self, marker: Path | None = None):
        self.marker = marker
        self.orders = []
        self.closed = False
        self.model_info = ModelInfo(name="fake", weights="none", precision="uint8")
        self.gpu = GpuInfo(type="fake", count=0)

    def prepare(self, order):  # noqa: D102
        self.orders.append(order)
        if "[embedding]" in order.prompt:
            raise RuntimeError("the encoder gave up")
        broken = "[nan]" in order.prompt
        self.gpu = GpuInfo(type="fake", count=float("nan") if broken else 0)
        seconds = max(speech.duration_seconds for speech in order.speeches)
        frames = round(seconds * FPS)
        found = re.search(r"\[chunks (\d+)\]", order.prompt)
        return FakePrepared(
            prompt=order.prompt,
            seed=order.seed,
            steps=order.parameters.sample_steps,
            chunks=int(found[1]) if found else 1,
            frames=frames,
        )

    def generate(self, prepared, *, on_progress):  # noqa: D102
        made = 0
        for chunk in range(prepared.chunks):
            on_progress(FakeStep(stage="preprocess", chunk=chunk, chunks=prepared.chunks))
            for step in range(prepared.steps + 1):
                on_progress(
                    FakeStep(
                        stage="sampling",
                        chunk=chunk,
                        chunks=prepared.chunks,
                        step=step,
                        steps=prepared.steps,
                    )
                )
                self._misbehave(prepared.prompt, step)
            on_progress(FakeStep(stage="decode", chunk=chunk, chunks=prepared.chunks))
            upto = prepared.frames * (chunk + 1) // prepared.chunks
            shape = (upto - made, HEIGHT, WIDTH, 3)
            noisy = "[noise]" in prepared.prompt
            drawn = np.random.default_rng(prepared.seed)
            frames = (
                drawn.integers(0, 256, shape, np.uint8) if noisy else np.full(shape, 99, np.uint8)
            )
            made = upto
            skipped = 3 if "[skip]" in prepared.prompt else 0
            yield FakeChunk(index=chunk, frames=frames, skipped=skipped)

    def close(self):  # noqa: D102
        self.closed = True

    def _misbehave(self, prompt, step):
        if "[slow]" in prompt:
            time.sleep(0.1)
        if step != 2:
            return
        if "[oom]" in prompt:
            raise FakeOutOfMemoryError("fake card ran out of memory; use size infinitetalk-480")
        if "[die]" in prompt or ("[die once]" in prompt and not self.marker.exists()):
            if self.marker:
                self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def load_fake(_settings, _log):
    """A fake engine as `run_worker` wants it; FAKE_* variables say more."""
    if os.environ.get("FAKE_LOAD_ERROR"):
        from itk_worker.weights import WeightsError

        raise WeightsError("CKPT_DIR is /no/such/folder, and there is no such folder")
    marker = os.environ.get("FAKE_MARKER")
    return Loaded(engine=FakeEngine(Path(marker) if marker else None), warnings=("a fake",))


def tone(seconds=1.0, rate=16000, amplitude=0.3):
    """A WAV file's bytes: a tone that swells."""
    moments = np.arange(int(seconds * rate)) / rate
    samples = amplitude * np.sin(2 * np.pi * 220 * moments) * np.sin(np.pi * moments / seconds)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "none"))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def png(width=80, height=60):
    """A PNG file's bytes: a gradient."""
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 3 % 256, y * 4 % 256, 120)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind, body):
        sealed = kind + body
        return struct.pack(">I", len(body)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def data_uri(content, mime):
    """Bytes as a data: URI."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def job_input(prompt="someone speaks", seconds=1.0, **more):
    """A job that the fake engine can do."""
    return {
        "prompt": prompt,
        "cond_video": data_uri(png(), "image/png"),
        "cond_audio": {"person1": data_uri(tone(seconds), "audio/wav")},
        "sample_steps": 4,
        **more,
    }


def clip(path, *, sound=True, colours=(40, 200), seconds_each=1.0):
    """Write an MP4 that shows one colour after the other, with a hum under it."""
    from itk_media import Track, VideoWriter

    rate, seconds = 16000, seconds_each * len(colours)
    hum = 0.5 * np.sin(2 * np.pi * 110 * np.arange(int(seconds * rate)) / rate)
    track = Track(samples=hum[:, None], sample_rate=rate) if sound else None
    with VideoWriter(path, width=WIDTH, height=HEIGHT, track=track) as video:
        for colour in colours:
            noise = np.random.default_rng(colour).integers(0, 40, (HEIGHT, WIDTH, 3))
            picture = (noise + colour).astype(np.uint8)
            video.write(np.repeat(picture[None], int(seconds_each * FPS), axis=0))
    return path.read_bytes()
