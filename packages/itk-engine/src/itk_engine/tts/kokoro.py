"""Kokoro's voices, through the package kokoro-onnx."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from itk_engine.errors import (
    InvalidRequestError,
    MissingSynthesiserError,
    MissingWeightsError,
    WeightsUnreadableError,
)
from itk_engine.tts.voice_files import read_voices
from itk_engine.tts.voices import language_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from itk_media import Samples

_SAMPLE_RATE = 24000
_MODELS = (  # as published beside kokoro-onnx, then as converted on the hub, the best first
    "kokoro-v1.0.onnx",
    "kokoro-v1.0.fp16.onnx",
    "kokoro-v1.0.int8.onnx",
    "onnx/model.onnx",
    "onnx/model_fp16.onnx",
    "onnx/model_quantized.onnx",
)
# How espeak-ng writes a language's sounds is what the model reads. Japanese and Chinese
# were taught with another writing, which kokoro-onnx does not bring.
_WRITTEN_AS = {tag: tag for tag in ("en-us", "en-gb", "es", "fr-fr", "hi", "it", "pt-br")}


class KokoroSynthesiser:
    """Kokoro-82M on the CPU, 24 kHz; each published voice has its own language and pace."""

    name = "Kokoro"
    sample_rate = _SAMPLE_RATE

    def __init__(self, kokoro: Any, voices: Mapping[str, Samples]) -> None:
        self._kokoro = kokoro
        self._voices = dict(voices)

    @classmethod
    def load(cls, folder: Path) -> KokoroSynthesiser:
        """Read the model and its voices from a folder.

        The model is one .onnx file. The voices are `voices-v1.0.bin`, all in one file, or
        `voices/NAME.pt` and `voices/NAME.bin`, one a file.

        Raises:
            MissingSynthesiserError: kokoro-onnx is not installed.
            MissingWeightsError: the model or the voices are not there.
            WeightsUnreadableError: a file is not what its name says.
        """
        model = _model(folder)
        voices = read_voices(folder)
        return cls(_open(model), voices)

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices that the folder has, sorted."""
        return tuple(sorted(self._voices))

    def say(
        self, text: str, *, voice: str, language: str | None = None, speed: float = 1.0
    ) -> Iterator[Samples]:
        """Yield a line in pieces of at most 510 phonemes, the silence around each kept.

        Raises:
            InvalidRequestError: the language is not one that can be written in phonemes here.
        """
        from kokoro_onnx.chunker import split_phonemes

        tag = language_of(voice, language)
        if tag not in _WRITTEN_AS:
            needed = f"one of {', '.join(_WRITTEN_AS)}"
            raise InvalidRequestError("language", needed, f"{tag!r} for voice {voice}")
        phonemes = self._kokoro.tokenizer.phonemize(text, _WRITTEN_AS[tag])
        for piece in split_phonemes(" ".join(phonemes.split())):
            samples, _ = self._kokoro.create(
                piece,
                voice=self._voices[voice],
                speed=speed,
                is_phonemes=True,
                trim=False,
                sentence_pause=0.0,
                clause_pause=0.0,
            )
            yield np.asarray(samples, np.float32)


def _model(folder: Path) -> Path:
    for name in _MODELS:
        if (folder / name).is_file():
            return folder / name
    others = sorted(folder.glob("*.onnx"))
    if len(others) == 1:
        return others[0]
    what = "Kokoro's model, in the folder that KOKORO_DIR names,"
    if any(folder.glob("*.pth")):
        what = "Kokoro's model as ONNX (.pth is not read), in the folder that KOKORO_DIR names,"
    raise MissingWeightsError(folder / _MODELS[0], what)


def _open(model: Path) -> Any:
    try:
        from kokoro_onnx import Kokoro

        reasons: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as error:
        what = "kokoro-onnx, which speaks with Kokoro's voices,"
        raise MissingSynthesiserError(what) from error
    unreadable = (
        reasons.Fail,
        reasons.InvalidArgument,
        reasons.InvalidGraph,
        reasons.InvalidProtobuf,
        reasons.NotImplemented,
        reasons.RuntimeException,
    )
    # Kokoro insists on a file of voices; ours were read already, from whatever file.
    with tempfile.TemporaryDirectory() as scratch:
        no_voices = Path(scratch) / "voices.npz"
        np.savez(no_voices, none=np.zeros(0, np.float32))
        try:
            kokoro: Any = Kokoro(str(model), str(no_voices))
        except unreadable as error:
            raise WeightsUnreadableError(model, str(error)) from error
        kokoro.voices.close()
    return kokoro
