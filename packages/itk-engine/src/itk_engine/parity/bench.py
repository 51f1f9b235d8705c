"""Where the cases of a run are computed, and how near they must come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen

from itk_engine.model import DiT, DiTConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import Tensor, nn

    from .folder import Case


# In float32 the largest error may be this share of the record's standard deviation.
FLOAT32_PART = 2e-4
FLOAT32_PIPELINE = 2e-3
FLOAT32_COLOURS = 5e-3  # colour statistics amplify, and feed back through the motion frames

# In bfloat16, by kind; the comment is the largest error that was seen, on a CPU.
BFLOAT16: Mapping[str, float] = {
    "a": 0.1,  # 0.038
    "d": 1.0,  # 0.63: a few random channels, each normalised over three or four numbers
    "e": 0.15,  # 0.055
    "f": 0.1,  # 0.026
    "j": 0.1,  # 0.029
}


@frozen(kw_only=True)
class Bench:
    """A device, a dtype and the tolerances that go with it.

    `part` is for one model's output, `pipeline` for a whole generation, `colours` for one whose
    colours are corrected.
    """

    device: torch.device
    dtype: torch.dtype
    part: float = FLOAT32_PART
    pipeline: float = FLOAT32_PIPELINE
    colours: float = FLOAT32_COLOURS

    @classmethod
    def on(cls, device: str, dtype: str) -> Bench:
        """Return the bench for a device and "float32" or "bfloat16"."""
        return cls(device=torch.device(device), dtype=getattr(torch, dtype))

    def for_case(self, case: Case) -> Bench | str:
        """Return this bench with the case's tolerances, or why the case is not for it."""
        if self.dtype == torch.float32:
            return self
        if case.kind not in BFLOAT16:
            return "compared in float32 only"
        if case.get("humans", 1) > 1:
            return "who speaks where hinges on comparisons closer than bfloat16"
        return evolve(self, part=BFLOAT16[case.kind])

    def place(self, tensor: Tensor) -> Tensor:
        """Return a floating-point tensor on this device in this dtype."""
        return tensor.to(self.device, self.dtype)

    def dit(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> DiT:
        """Return a transformer of this config with these weights."""
        model = DiT(DiTConfig.from_mapping(config))
        load_strictly(model, weights)
        return model.to(self.device, self.dtype)


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Fill a model; every parameter must come, and nothing else."""
    model.load_state_dict(dict(weights), strict=True)
    model.requires_grad_(requires_grad=False).eval()
