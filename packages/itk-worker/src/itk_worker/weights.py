"""Finds the checkpoint that the operator configured, or makes the tiny one."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from itk_engine import CheckpointFiles

    from .settings import Settings

ADAPTER_NAME = "infinitetalk.safetensors"
_SHAPES_THE_CHECKPOINT = {"tiny.py", "weights", "model", "vae", "conditioning"}
TINY_WARNING = (
    "made with the tiny checkpoint, whose weights are random: the picture is noise. "
    "Set CKPT_DIR, INFINITETALK_DIR and WAV2VEC_DIR for the real model"
)


@define
class WeightsError(Exception):
    """A variable names weights that are not there; the message says which and where."""

    message: str

    def __str__(self) -> str:
        return self.message


def find_checkpoint(settings: Settings) -> tuple[CheckpointFiles, bool]:
    """What the engine should load, and whether that is the tiny stand-in.

    Raises:
        WeightsError: a variable is missing beside others, or names nothing that exists.
    """
    if settings.no_weights:
        return _tiny(settings.cache), True
    from itk_engine import CheckpointFiles

    files = CheckpointFiles(
        base=_folder("CKPT_DIR", settings.ckpt_dir),
        adapter=_adapter(settings.infinitetalk_dir),
        wav2vec=_folder("WAV2VEC_DIR", settings.wav2vec_dir),
        quantised=_quantised(settings.quant_dir),
    )
    return files, False


def _folder(name: str, path: Path | None) -> Path:
    if path is None:
        message = f"{name} is not set; the other weight variables need it beside them"
        raise WeightsError(message)
    if not path.is_dir():
        message = f"{name} is {path}, and there is no such folder"
        raise WeightsError(message)
    return path


def _adapter(path: Path | None) -> Path | None:
    if path is None:
        return None
    for candidate in (path, path / "single" / ADAPTER_NAME, path / ADAPTER_NAME):
        if candidate.is_file():
            return candidate
    message = f"INFINITETALK_DIR is {path}, and there is no {path / 'single' / ADAPTER_NAME}"
    raise WeightsError(message)


def _quantised(path: Path | None) -> Path | None:
    if path is None or path.is_file():
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    message = f"QUANT_DIR is {path}, where one .safetensors file is needed; found {len(files)}"
    raise WeightsError(message)


def _tiny(cache: Path) -> CheckpointFiles:
    """The tiny checkpoint, made once for each version of the engine's code."""
    from itk_engine import tiny

    target = cache / f"tiny-{_recipe(Path(tiny.__file__).parent)}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tiny-", dir=cache))
        try:
            tiny.make_checkpoint(scratch)
            _publish(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return tiny.checkpoint_files(target)


def _publish(scratch: Path, target: Path) -> None:
    """Give the folder its name, whole or not at all; another worker may have been first."""
    try:
        os.rename(scratch, target)  # noqa: PTH104  Path.replace hides that a folder is not replaced
    except OSError:
        if not target.is_dir():
            raise


def _recipe(engine: Path) -> str:
    """What the checkpoint depends on: the engine's version and, while developing, its code."""
    digest = hashlib.sha256(version("itk-engine").encode())
    for source in sorted(engine.rglob("*.py")):
        if source.relative_to(engine).parts[0] in {
            "tiny.py",
            "weights",
            "model",
            "vae",
            "config.py",
        }:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
