"""Kokoro's voices, on a model of a few nodes that reads and answers as the real one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itk_engine.errors import InvalidRequestError, MissingWeightsError, WeightsUnreadableError
from itk_engine.tts import KokoroSynthesiser, speak
from itk_schema import TtsAudio

HOP = 480
WriteModel = Callable[[Path], Path]


@pytest.fixture(autouse=True)
def _needs_kokoro() -> None:
    pytest.importorskip("kokoro_onnx", reason="the extra tts is not installed")


def styles(first: float) -> np.ndarray:
    """Return a voice whose style for n phonemes is `first` + n / 1000 everywhere."""
    rows = first + np.arange(1, 511, dtype=np.float32) / 1000
    return np.broadcast_to(rows[:, None, None], (510, 1, 256)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, write_kokoro: WriteModel) -> Path:
    """Return a folder in the layout that is published beside kokoro-onnx."""
    write_kokoro(tmp_path / "kokoro-v1.0.onnx")
    with (tmp_path / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, am_adam=styles(1.0), af_heart=styles(2.0), jf_alpha=styles(3.0))
    return tmp_path


def said(kokoro: KokoroSynthesiser, text: str, **how: Any) -> np.ndarray:
    """Return everything that is said."""
    return np.concatenate([np.zeros(0, np.float32), *kokoro.say(text, **how)])


def test_text_becomes_phonemes_tokens_and_sound(folder: Path) -> None:
    """Every phoneme, and the pause at both ends, is heard in the style for their number."""
    kokoro = KokoroSynthesiser.load(folder)
    assert kokoro.voices == ("af_heart", "am_adam", "jf_alpha")
    for voice, first in (("am_adam", 1.0), ("af_heart", 2.0)):
        samples = said(kokoro, "Hello there", voice=voice)
        phonemes = len(samples) // HOP - 2
        assert samples.dtype == np.float32
        assert 8 <= phonemes <= 14
        assert not samples[:HOP].any()
        assert not samples[-HOP:].any()
        tokens = samples.reshape(-1, HOP)[1:-1, 0] / (first + phonemes / 1000)
        np.testing.assert_allclose(tokens, np.round(tokens), atol=1e-3)


def test_speed_and_language_reach_the_model(folder: Path) -> None:
    """Twice as fast is half as long; British English is written in other phonemes."""
    kokoro = KokoroSynthesiser.load(folder)
    usual = said(kokoro, "a bath in water", voice="am_adam")
    assert 2 * len(said(kokoro, "a bath in water", voice="am_adam", speed=2.0)) == len(usual)
    british = said(kokoro, "a bath in water", voice="am_adam", language="en-GB")
    assert not np.array_equal(usual, british)


def test_a_long_line_is_said_in_pieces_of_at_most_510_phonemes(folder: Path) -> None:
    """Nothing of a long line is lost, and no piece is more than the model takes."""
    kokoro = KokoroSynthesiser.load(folder)
    line = "This sentence has nothing much to say. " * 60
    pieces = list(kokoro.say(line, voice="am_adam"))
    assert len(pieces) > 3
    assert max(len(piece) for piece in pieces) <= (510 + 2) * HOP
    one = len(said(kokoro, line[:38], voice="am_adam")) // HOP - 2
    assert sum(len(piece) // HOP - 2 for piece in pieces) >= 60 * one


def test_what_has_no_sound_yields_nothing(folder: Path) -> None:
    """A line without a phoneme is passed over."""
    assert len(said(KokoroSynthesiser.load(folder), "_", voice="am_adam")) == 0


def test_a_language_that_cannot_be_written_in_phonemes_is_refused(folder: Path) -> None:
    """Japanese voices exist, and would speak gibberish."""
    kokoro = KokoroSynthesiser.load(folder)
    with pytest.raises(InvalidRequestError, match=r"tts_audio\.language.*pt-br.*'ja'"):
        speak(TtsAudio(text="Hello", human1_voice="jf_alpha"), kokoro)


def test_voices_are_read_from_every_published_form(
    tmp_path: Path, write_kokoro: WriteModel
) -> None:
    """One file a voice, as tensors or as plain float32, beside a model from the hub."""
    write_kokoro(tmp_path / "onnx" / "model.onnx")
    voices = tmp_path / "voices"
    voices.mkdir()
    torch.save(torch.from_numpy(styles(1.0)), voices / "am_adam.pt")
    styles(2.0).tofile(voices / "af_heart.bin")
    kokoro = KokoroSynthesiser.load(tmp_path)
    assert kokoro.voices == ("af_heart", "am_adam")
    one, two = (said(kokoro, "Hello", voice=voice) for voice in ("am_adam", "af_heart"))
    assert 1.9 < two.max() / one.max() < 2.1


@pytest.mark.parametrize(
    ("gone", "words"),
    [("kokoro-v1.0.onnx", "Kokoro's model"), ("voices-v1.0.bin", "Kokoro's voices")],
)
def test_missing_weights_are_named_with_the_variable(folder: Path, gone: str, words: str) -> None:
    """The error says which file is missing where, and which variable names the folder."""
    (folder / gone).unlink()
    with pytest.raises(MissingWeightsError) as caught:
        KokoroSynthesiser.load(folder)
    assert caught.value.path == folder / gone
    assert words in str(caught.value)
    assert "KOKORO_DIR" in str(caught.value)


def test_the_published_torch_weights_are_not_taken_for_the_model(tmp_path: Path) -> None:
    """Whoever has the .pth is told that another file is needed."""
    (tmp_path / "kokoro-v1_0.pth").touch()
    with pytest.raises(MissingWeightsError, match=r"\.pth is not read"):
        KokoroSynthesiser.load(tmp_path)


def _save(**arrays: np.ndarray) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with file.open("wb") as opened:
            np.savez(opened, **arrays)

    return write


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no-model": ("kokoro-v1.0.onnx", lambda file: file.write_bytes(b"no model")),
    "no-archive": ("voices-v1.0.bin", lambda file: file.write_bytes(b"no archive")),
    "cut-archive": ("voices-v1.0.bin", lambda file: file.write_bytes(b"PK cut")),
    "misshapen": ("voices-v1.0.bin", _save(a=np.zeros((3, 256)))),
    "objects": ("voices-v1.0.bin", _save(a=np.array([{}]))),
    "odd-length": ("voices/a.bin", lambda file: file.write_bytes(b"odd")),
    "empty": ("voices/a.bin", lambda file: file.touch()),
    "not-a-number": ("voices/a.bin", lambda file: np.full(256, np.nan, np.float32).tofile(file)),
    "foreign-pickle": ("voices/a.pt", lambda file: torch.save({"a": Path("x")}, file)),
    "no-tensor": ("voices/a.pt", lambda file: file.write_bytes(b"no tensor")),
    "a-list": ("voices/a.pt", lambda file: torch.save([1], file)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_something_else_is_named(folder: Path, case: str) -> None:
    """Broken files, foreign pickles and wrong shapes are errors that name the file."""
    name, write = BROKEN[case]
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    write(file)
    with pytest.raises(WeightsUnreadableError) as caught:
        KokoroSynthesiser.load(folder)
    assert caught.value.file == file
