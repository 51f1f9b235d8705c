"""Reads how long a local speech file is, from its header alone."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MOST_BOXES = 4096


def speech_seconds(path: Path) -> float | None:
    """Seconds of a WAV, FLAC or MP4 file; None where the header does not say it simply."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            reader = _reader(head)
            return None if reader is None else reader(file)
    except (OSError, struct.error, ValueError, OverflowError):
        return None


def _reader(head: bytes) -> Callable[[BinaryIO], float | None] | None:
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return _wav_seconds
    if head[:4] == b"fLaC":
        return _flac_seconds
    if head[4:8] == b"ftyp":
        return _mp4_seconds
    return None


def _wav_seconds(file: BinaryIO) -> float | None:
    end = file.seek(0, 2)
    file.seek(12)
    bytes_per_second = 0
    for _ in range(_MOST_BOXES):
        head = file.read(8)
        if len(head) < 8:
            return None
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            bytes_per_second = struct.unpack("<8xI", file.read(12))[0]
            file.seek(size - 12 + size % 2, 1)
        elif name == b"data":
            # Recorders that stream write 0 or the largest number; the rest of the file counts.
            size = min(size or end, end - file.tell())
            return size / bytes_per_second if bytes_per_second else None
        else:
            file.seek(size + size % 2, 1)
    return None


def _flac_seconds(file: BinaryIO) -> float | None:
    file.seek(8 + 10)
    packed = int.from_bytes(file.read(8), "big")
    sample_rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    return samples / sample_rate if sample_rate and samples else None


def _mp4_seconds(file: BinaryIO) -> float | None:
    end = file.seek(0, 2)
    moov = _find_box(file, b"moov", (0, end))
    mvhd = _find_box(file, b"mvhd", moov) if moov else None
    if mvhd is None:
        return None
    file.seek(mvhd[0])
    version = file.read(4)[0]
    layout = ">16xIQ" if version == 1 else ">8xII"
    timescale, length = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return length / timescale if timescale and length else None


def _find_box(file: BinaryIO, wanted: bytes, span: tuple[int, int]) -> tuple[int, int] | None:
    place, end = span
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or place >= end:
            return None
        size, name = struct.unpack(">I4s", head)
        content = place + 8
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0]
            content += 8
        stop = end if size == 0 else place + size
        if stop <= place:
            return None
        if name == wanted:
            return content, min(stop, end)
        place = stop
    return None
