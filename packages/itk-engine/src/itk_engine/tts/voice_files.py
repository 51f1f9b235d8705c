"""Reads Kokoro's voices from the files in which they are published."""

from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from itk_engine.errors import MissingWeightsError, WeightsUnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from itk_media import Samples

_WIDTH = 256  # of a style vector; a voice has one for each number of phonemes
_ZIP = b"PK"


def read_voices(folder: Path) -> dict[str, Samples]:
    """Return each voice's style vectors, float32 [phonemes, 1, 256], by name.

    Raises:
        MissingWeightsError: the folder has no voices.
        WeightsUnreadableError: a file does not hold what it should.
    """
    voices: dict[str, Samples] = {}
    for file in sorted(folder.glob("voices*.bin")):
        voices |= _read_archive(file)
    for file in sorted((folder / "voices").glob("*.bin")):
        voices[file.stem] = _checked(file, _read_plain(file))
    for file in sorted((folder / "voices").glob("*.pt")):
        voices[file.stem] = _checked(file, _read_torch(file))
    if not voices:
        what = "Kokoro's voices (or voices/NAME.pt), in the folder that KOKORO_DIR names,"
        raise MissingWeightsError(folder / "voices-v1.0.bin", what)
    return voices


def _read_archive(file: Path) -> dict[str, Samples]:
    if not _begins_with(file, _ZIP):
        raise WeightsUnreadableError(file, "it is not an archive of voices")
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: _checked(file, archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsUnreadableError(file, str(error)) from error


def _read_plain(file: Path) -> Samples:
    body = file.read_bytes()
    if len(body) % (4 * _WIDTH):
        why = f"{len(body)} bytes are no whole number of style vectors of {_WIDTH} float32"
        raise WeightsUnreadableError(file, why)
    return np.frombuffer(body, np.float32).reshape(-1, 1, _WIDTH)


def _read_torch(file: Path) -> Samples:
    import torch

    try:
        voice = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise WeightsUnreadableError(file, str(error).partition("\n")[0]) from error
    if not isinstance(voice, torch.Tensor):
        raise WeightsUnreadableError(file, f"it holds {type(voice).__name__}, not a tensor")
    return voice.float().numpy()


def _checked(file: Path, voice: Samples) -> Samples:
    voice = np.asarray(voice, np.float32)
    if voice.ndim != 3 or voice.shape[0] < 1 or voice.shape[1:] != (1, _WIDTH):
        why = f"a voice must be [phonemes, 1, {_WIDTH}], got {list(voice.shape)}"
        raise WeightsUnreadableError(file, why)
    if not np.isfinite(voice).all():
        raise WeightsUnreadableError(file, "a voice holds NaN or infinity")
    return voice


def _begins_with(file: Path, magic: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(magic)) == magic
