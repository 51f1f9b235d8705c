"""Cases of speech: its features, its loudness, two speakers together."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from itk_engine.conditioning import SpeechConfig, SpeechEncoder
from itk_media import (
    SpeechTooShortError,
    Waveform,
    mix_speeches,
    normalise_loudness,
    read_speech,
    write_track,
)

from .bench import load_strictly
from .verdict import Check, close, equal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from .bench import Bench
    from .folder import Case

_RATE = 16000
# out.para_AB.left: speakers A and B; out.add_A_None.sum: the second one says nothing
_MIX = re.compile(r"out\.(para|add)_([A-Z]|None)_?([A-Z]|None)\.(left|right|sum)")


def speech(case: Case, bench: Bench) -> list[Check]:
    """Compare the features, or how speech is prepared before they are computed."""
    io = case.tensors()
    if case.get("weights"):
        return list(_features(case, io, bench))
    return [*_loudness(io, bench), *_mixes(io, bench), *_resampled(io, bench), *_too_short(case)]


def _features(case: Case, io: Mapping[str, Tensor], bench: Bench) -> Iterator[Check]:
    extractor = case.get("feature_extractor", {})
    encoder = SpeechEncoder(SpeechConfig.from_mapping({**case["config"], **extractor}))
    load_strictly(encoder, case.tensors("weights"))
    encoder.to(bench.device)
    for name, record in io.items():
        if name.startswith("out.embedding."):
            samples = io[f"in.wave.{name.removeprefix('out.embedding.')}"]
            yield close(name, encoder.embed(samples), record, tolerance=bench.part)


def _loudness(io: Mapping[str, Tensor], bench: Bench) -> Iterator[Check]:
    for name, record in io.items():
        if name.startswith("out.loud."):
            came = torch.from_numpy(normalise_loudness(io[f"in.{name[4:]}"].numpy(), _RATE))
            yield close(name, came, record, tolerance=bench.part)


def _mixes(io: Mapping[str, Tensor], bench: Bench) -> Iterator[Check]:
    for name, record in io.items():
        found = _MIX.fullmatch(name)
        if found is None:
            continue
        mode, first, second, part = found.groups()
        length = max(len(io[f"in.wave.{who}"]) for who in (first, second) if who != "None")
        (left, right), both = mix_speeches(
            _speaker(io, first, length), _speaker(io, second, length), audio_type=_mode(mode)
        )
        came = {"left": left, "right": right, "sum": both}[part]
        yield close(name, torch.from_numpy(came.samples), record, tolerance=bench.part)


def _resampled(io: Mapping[str, Tensor], bench: Bench) -> Iterator[Check]:
    """Read a 16-bit file of 24 kHz, as synthesised speech is, at the model's rate."""
    record = io.get("out.resampled_16k_soxr_hq")
    if record is None:
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        write_track(Waveform(samples=io["in.wave24k"].numpy(), sample_rate=24000), path)
        came = torch.from_numpy(read_speech(path).samples)
    yield close("out.resampled_16k_soxr_hq", came, record, tolerance=bench.part)


def _mode(word: str) -> Literal["para", "add"]:
    return "para" if word == "para" else "add"


def _speaker(io: Mapping[str, Tensor], who: str, length: int) -> Waveform:
    if who == "None":
        return Waveform(samples=np.zeros(length, np.float32), sample_rate=_RATE)
    samples = normalise_loudness(io[f"in.wave.{who}"].numpy(), _RATE)
    return Waveform(samples=samples, sample_rate=_RATE)


def _too_short(case: Case) -> Iterator[Check]:
    """Where the record says that short speech is refused, the engine refuses it too."""
    if "short_audio_under_0.4s" not in case.get("facts", {}):
        return
    refused = False
    try:
        normalise_loudness(np.zeros(int(0.39 * _RATE), np.float32), _RATE)
    except SpeechTooShortError:
        refused = True
    yield equal("speech under 0.4 s", "refused" if refused else "accepted", "refused")
