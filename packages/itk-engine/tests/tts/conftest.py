"""Synthesisers for tests: one that hums, espeak-ng itself, and a Kokoro of a few nodes."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from itk_engine.errors import MissingSynthesiserError
from itk_engine.tts import EspeakSynthesiser
from itk_media import Samples

HOP = 480  # samples that the small Kokoro makes of one token at speed 1


class Humming:
    """Says every line as 240 samples of 0.1 a character, as the goldens' synthesiser does."""

    name = "humming"
    sample_rate = 24000
    voices = ("v1", "v2")

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str | None, float]] = []

    def say(
        self, text: str, *, voice: str, language: str | None = None, speed: float = 1.0
    ) -> Iterator[Samples]:
        """Yield a hum in two pieces."""
        self.lines.append((text, voice, language, speed))
        yield from np.array_split(np.full(240 * len(text), 0.1, np.float32), 2)


@pytest.fixture
def humming() -> Humming:
    """Return a synthesiser that remembers what it was asked."""
    return Humming()


@pytest.fixture(scope="session")
def espeak() -> EspeakSynthesiser:
    """Return the real stand-in, or skip where its library is absent."""
    try:
        return EspeakSynthesiser.load()
    except MissingSynthesiserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def write_kokoro() -> Callable[[Path], Path]:
    """Return what writes a model that reads and answers as Kokoro's does, in a few nodes.

    Of each token it makes HOP / speed samples: the token's number times the mean of the style.
    """
    return _write_kokoro


def _write_kokoro(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_model())
    return file


# Numbers of fields in ONNX's public schema, onnx.proto3; the wire format is Protocol Buffers'.
_FLOAT, _INT64 = 1, 7


def _model() -> bytes:
    nodes = [
        _node("Cast", ["tokens"], "numbers", to=_FLOAT),
        _node("Reshape", ["numbers", "column"], "lines"),
        _node("Div", ["hop", "speed"], "paced"),
        _node("Cast", ["paced"], "samples", to=_INT64),
        _node("Concat", ["one", "samples"], "shape", axis=0),
        _node("Expand", ["lines", "shape"], "grid"),
        _node("ReduceMean", ["style"], "gain", keepdims=0),
        _node("Mul", ["grid", "gain"], "loud"),
        _node("Reshape", ["loud", "row"], "audio"),
    ]
    constants = [
        _constant("column", _INT64, struct.pack("<2q", -1, 1), 2),
        _constant("row", _INT64, struct.pack("<q", -1), 1),
        _constant("one", _INT64, struct.pack("<q", 1), 1),
        _constant("hop", _FLOAT, struct.pack("<f", HOP), 1),
    ]
    inputs = [
        _value("tokens", _INT64, (1, "length")),
        _value("style", _FLOAT, (1, 256)),
        _value("speed", _FLOAT, (1,)),
    ]
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _bytes(2, b"small"),
            *(_bytes(5, constant) for constant in constants),
            *(_bytes(11, value) for value in inputs),
            _bytes(12, _value("audio", _FLOAT, ("samples",))),
        ]
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 13))


def _node(kind: str, inputs: list[str], output: str, **numbers: int) -> bytes:
    names = b"".join(_bytes(1, name.encode()) for name in inputs)
    attributes = b"".join(
        _bytes(5, _bytes(1, name.encode()) + _number(3, number) + _number(20, 2))
        for name, number in numbers.items()
    )
    return names + _bytes(2, output.encode()) + _bytes(4, kind.encode()) + attributes


def _constant(name: str, kind: int, raw: bytes, count: int) -> bytes:
    return _number(1, count) + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, raw)


def _value(name: str, kind: int, shape: tuple[int | str, ...]) -> bytes:
    sizes = b"".join(
        _bytes(1, _number(1, size) if isinstance(size, int) else _bytes(2, size.encode()))
        for size in shape
    )
    tensor = _number(1, kind) + _bytes(2, sizes)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _bytes(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
