"""Runs one case by its kind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import torch

from itk_engine.errors import EngineError

from .verdict import Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bench import Bench
    from .folder import Case

# Each kind of the manifest: the module beside this one and the function that runs the case.
KINDS: dict[str, tuple[str, str]] = {
    "a": ("dit", "prediction"),
    "b": ("dit", "skipping"),
    "c": ("generation", "generation"),
    "d": ("encoders", "autoencoder"),
    "e": ("encoders", "text_encoder"),
    "f": ("encoders", "vision_encoder"),
    "g": ("speech", "speech"),
    "h": ("pictures", "pictures"),
    "i": ("weights", "merging"),
    "j": ("weights", "quantised"),
}

# What a case whose files or facts do not fit may raise; the other cases are still run.
_BROKEN = (EngineError, AssertionError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def run_case(case: Case, bench: Bench) -> Verdict:
    """Return the verdict on one case; what is unknown, or not for this dtype, is skipped."""
    if case.kind not in KINDS:
        return Verdict(name=case.name, skipped=f"kind {case.kind!r} is not known")
    fitted = bench.for_case(case)
    if isinstance(fitted, str):
        return Verdict(name=case.name, skipped=fitted)
    module, function = KINDS[case.kind]
    run: Callable[[Case, Bench], list[Check]] = getattr(
        import_module(f"{__package__}.{module}"), function
    )
    try:
        with torch.inference_mode(), _exact_float32():
            return Verdict(name=case.name, checks=tuple(run(case, fitted)))
    except _BROKEN as error:
        return Verdict(name=case.name, broke=f"{type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


class _exact_float32:  # noqa: N801  used as a word in a with statement
    """Float32 products in float32: no TF32 while cases are compared."""

    def __enter__(self) -> None:
        self._convolutions = torch.backends.cudnn.allow_tf32
        self._products = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cudnn.allow_tf32 = self._convolutions
        torch.backends.cuda.matmul.allow_tf32 = self._products
