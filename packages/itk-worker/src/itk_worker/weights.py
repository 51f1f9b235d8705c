"""Finds the checkpoint that the operator configured, or makes the tiny one."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, evolve

if TYPE_CHECKING:
    from itk_engine import CheckpointFiles

    from .settings import Settings

ADAPTER_NAME = "infinitetalk.safetensors"
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
    """The tiny checkpoint, made once for each version of what makes it."""
    from itk_engine import tiny

    target = cache / f"tiny-{_recipe_name(Path(tiny.__file__))}"
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".tiny-", dir=cache))
    recipe = target / "made"  # written last, in the scratch folder, so a target is always whole
    try:
        if not recipe.exists():
            made = tiny.make_checkpoint(scratch)
            (scratch / "made").write_text(_relative(made, scratch), encoding="utf-8")
            _publish(scratch, target)
        return _read(recipe, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _publish(scratch: Path, target: Path) -> None:
    try:
        os.rename(scratch, target)  # noqa: PTH104  must fail when another worker was first
    except OSError:
        if not (target / "made").exists():
            raise


def _relative(files: CheckpointFiles, folder: Path) -> str:
    adapter = "" if files.adapter is None else str(files.adapter.relative_to(folder))
    parts = (str(files.base.relative_to(folder)), adapter, str(files.wav2vec.relative_to(folder)))
    return "\n".join(parts)


def _read(recipe: Path, folder: Path) -> CheckpointFiles:
    from itk_engine import CheckpointFiles

    base, adapter, wav2vec = recipe.read_text(encoding="utf-8").split("\n")
    files = CheckpointFiles(base=folder / base, wav2vec=folder / wav2vec)
    return evolve(files, adapter=folder / adapter) if adapter else files


def _recipe_name(source: Path) -> str:
    digest = hashlib.sha256(version("itk-engine").encode())
    digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
