"""Where the cases of a run are computed, and how near they must come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from attrs import frozen

from itk_engine.model import DiT, DiTConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import Tensor, nn


@frozen(kw_only=True)
class Bench:
    """A device, a dtype and the tolerances that go with it."""

    device: torch.device
    dtype: torch.dtype
    part: float  # one model's output
    pipeline: float  # a whole generation
    colours: float  # a whole generation whose colours are corrected

    @classmethod
    def on(cls, device: str, dtype: str) -> Bench:
        """Return the bench for a device and "float32" or "bfloat16"."""
        if dtype == "bfloat16":
            return cls(
                device=torch.device(device),
                dtype=torch.bfloat16,
                part=0.15,
                pipeline=0.5,
                colours=0.5,
            )
        return cls(
            device=torch.device(device),
            dtype=torch.float32,
            part=2e-4,
            pipeline=2e-3,
            colours=5e-3,
        )

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
