"""Lengths of speech files, from their headers."""

import struct
import wave

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itk_client.speech_length import speech_seconds


def test_wav(tmp_path):
    """A WAV's length is its data over its byte rate, other chunks passed over."""
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(b"\0" * 4 * 44100 * 3)
    assert speech_seconds(path) == 3.0
    whole = path.read_bytes()
    noted = whole[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + whole[12:]
    path.write_bytes(noted)
    assert speech_seconds(path) == 3.0


def test_float_wav_and_a_stream_without_a_length(tmp_path):
    """Float samples and the lengths that live recorders write are understood."""
    path = tmp_path / "f.wav"
    fmt = struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32)
    for length in (0, 0xFFFFFFFF, 64000):
        path.write_bytes(
            b"RIFF\0\0\0\0WAVEfmt "
            + struct.pack("<I", 16)
            + fmt
            + b"data"
            + struct.pack("<I", length)
            + b"\0" * 64000
        )
        assert speech_seconds(path) == 1.0


def test_flac(tmp_path):
    """A FLAC says its samples and rate in STREAMINFO."""
    path = tmp_path / "a.flac"
    packed = (48000 << 44) | (0 << 41) | (15 << 36) | 96000
    path.write_bytes(
        b"fLaC" + b"\x80\0\0\x22" + b"\0" * 10 + packed.to_bytes(8, "big") + b"\0" * 16
    )
    assert speech_seconds(path) == 2.0


@pytest.mark.parametrize("version", [0, 1])
def test_mp4(tmp_path, version):
    """An MP4 says its length in the movie header, wherever that stands."""
    fields = struct.pack(">QQIQ" if version else ">IIII", 0, 0, 1000, 4500)
    mvhd = bytes([version, 0, 0, 0]) + fields
    box = struct.pack(">I4s", 8 + len(mvhd), b"mvhd") + mvhd
    path = tmp_path / "a.m4a"
    path.write_bytes(
        struct.pack(">I4s", 16, b"ftyp")
        + b"M4A \0\0\0\0"
        + struct.pack(">I4sQ", 1, b"mdat", 20)
        + b"data"
        + struct.pack(">I4s", 8 + len(box), b"moov")
        + box
    )
    assert speech_seconds(path) == 4.5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"\0\0\0\x08ftyp", b"\0\0\0\0ftyp"]),
    st.binary(max_size=80),
)
def test_nonsense_has_no_length(tmp_path, head, tail):
    """Damaged headers give None or a length, never an error or an endless loop."""
    path = tmp_path / "x"
    path.write_bytes(head + tail)
    found = speech_seconds(path)
    assert found is None or found >= 0
