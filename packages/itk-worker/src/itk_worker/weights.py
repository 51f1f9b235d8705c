"""Finds the checkpoint that the operator configured, or the tiny one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve

from .offers import Offers

if TYPE_CHECKING:
    from pathlib import Path

    from itk_engine import CheckpointFiles, Lora

    from .settings import Settings

ADAPTER_NAME = "infinitetalk.safetensors"
ADAPTER_KINDS = ("single", "multi")
TINY_WARNING = (
    "made with the tiny model that comes with the project, which knows drawn faces and nothing "
    "else. Set CKPT_DIR, INFINITETALK_DIR and WAV2VEC_DIR for the real model"
)


@define
class WeightsError(Exception):
    """A variable names weights that are not there; the message says which and where."""

    message: str

    def __str__(self) -> str:
        return self.message


def find_checkpoint(settings: Settings) -> tuple[CheckpointFiles, bool]:
    """What the engine should load, and whether that is the tiny model.

    Raises:
        WeightsError: a variable is missing beside others, or names nothing that exists.
    """
    loras = _loras(settings)
    if settings.no_weights:
        return evolve(_tiny(), loras=loras), True
    from itk_engine import CheckpointFiles

    files = CheckpointFiles(
        base=_folder("CKPT_DIR", settings.ckpt_dir),
        adapter=_adapter(settings.infinitetalk_dir, settings.adapter),
        wav2vec=_folder("WAV2VEC_DIR", settings.wav2vec_dir),
        quantised=_quantised(settings.quant_dir),
        loras=loras,
    )
    return files, False


def offers_of(files: CheckpointFiles, settings: Settings, *, precision: str) -> Offers:
    """What jobs may name of these files, read as `precision`."""
    # The tiny model's one adapter serves one speaker and two, so that no job misses another.
    kind = "" if files.adapter is None or settings.no_weights else files.adapter.parent.name
    quant = precision if files.quantised is not None else None
    if settings.fp8 == "always":
        quant = "fp8"
    names: tuple[str, ...] = ()
    if files.quantised is not None:
        told = (files.quantised, settings.quant_dir or files.quantised)
        names = tuple(dict.fromkeys(word for path in told for word in (path.name, str(path))))
    return Offers(
        loras=tuple(lora.name for lora in settings.loras),
        quant=quant,
        quant_names=names,
        adapter=kind if kind in ADAPTER_KINDS else "",
    )


def _loras(settings: Settings) -> tuple[Lora, ...]:
    from itk_engine import Lora

    if settings.loras and settings.quant_dir is not None:
        message = "ITK_LORAS and QUANT_DIR are both set; a quantised file cannot take a LoRA"
        raise WeightsError(message)
    for lora in settings.loras:
        if not lora.path.is_file():
            message = f"ITK_LORAS names {lora.name} as {lora.path}, and there is no such file"
            raise WeightsError(message)
    return tuple(Lora(path=lora.path, scale=lora.scale) for lora in settings.loras)


def _folder(name: str, path: Path | None) -> Path:
    if path is None:
        message = f"{name} is not set; the other weight variables need it beside them"
        raise WeightsError(message)
    if not path.is_dir():
        message = f"{name} is {path}, and there is no such folder"
        raise WeightsError(message)
    return path


def _adapter(path: Path | None, wanted: str | None) -> Path | None:
    """The file itself, or the one that is wanted of a folder; single where that is open."""
    if path is None or path.is_file():
        return path
    kinds = ADAPTER_KINDS if wanted is None else (wanted,)
    candidates = [path / kind / ADAPTER_NAME for kind in kinds]
    if wanted in {None, path.name}:
        candidates.append(path / ADAPTER_NAME)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    message = f"INFINITETALK_DIR is {path}, and there is no {candidates[0]}"
    raise WeightsError(message)


def _quantised(path: Path | None) -> Path | None:
    if path is None or path.is_file():
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    message = f"QUANT_DIR is {path}, where one .safetensors file is needed; found {len(files)}"
    raise WeightsError(message)


def _tiny() -> CheckpointFiles:
    from itk_engine import tiny
    from itk_tiny import checkpoint_folder

    return tiny.checkpoint_files(checkpoint_folder())
