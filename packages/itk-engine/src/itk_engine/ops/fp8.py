"""Linear layers whose weights are float8, quantised row by row when a model is loaded."""

# M rows of input, I inputs, O outputs
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import nn
from torch.nn import functional

from . import fused

if TYPE_CHECKING:
    from torch import Tensor

# Small, and what reaches the lips goes through it: the projection of speech tokens in a block.
SENSITIVE = ("audio_cross_attn.kv_linear",)
_MULTIPLE = 16  # what the float8 matrix units ask of both sides of a weight


class Fp8Linear(nn.Module):
    """A linear layer with float8_e4m3fn weights and one float32 scale for each output.

    Where the device multiplies float8 (Hopper, Ada and later), the input is quantised row by
    row as it comes and the product runs at twice the rate of bfloat16. Elsewhere the weights
    are turned back into the input's dtype and only memory is saved.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight_OI: Tensor, scale_O1: Tensor, bias_O: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight_OI)
        self.register_buffer("scale", scale_O1)
        self.register_buffer("bias", bias_O)
        self.out_features, self.in_features = weight_OI.shape

    @classmethod
    def of(cls, linear: nn.Linear) -> Fp8Linear:
        """Quantise a layer on the device that it lies on."""
        weight, scale = quantise_rows(linear.weight.detach())
        bias = None if linear.bias is None else linear.bias.detach()
        return cls(weight, scale, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x·Wᵀ + b for x [..., I] in x's dtype."""
        if x.is_cuda and _multiplies_float8(x.device) and x.dtype == torch.bfloat16:
            return self._on_matrix_units(x)
        return functional.linear(x, self.dequantised(x.dtype), self.bias)

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        """Return the weights [O, I] as the product sees them."""
        return (self.weight.float() * self.scale).to(dtype)

    def _on_matrix_units(self, x: Tensor) -> Tensor:
        rows, scales = quantise_rows(x.reshape(-1, self.in_features))
        product = torch._scaled_mm(  # noqa: SLF001  the public name came after torch 2.11
            rows,
            self.weight.t(),
            scale_a=scales,
            scale_b=self.scale.t(),
            bias=self.bias,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )
        return product.unflatten(0, x.shape[:-1])

    def extra_repr(self) -> str:
        """Say the sizes, as nn.Linear does."""
        return f"in_features={self.in_features}, out_features={self.out_features}, float8_e4m3fn"


@frozen(kw_only=True)
class Fidelity:
    """What quantisation did to the weights of a model.

    `worst` and `mean` are relative errors ‖W' - W‖ / ‖W‖ of single layers.
    """

    layers: int
    worst: float
    worst_layer: str
    mean: float

    def __str__(self) -> str:
        return (
            f"{self.layers} linear layers at float8, relative weight error {self.mean:.2%} on "
            f"average, {self.worst:.2%} at most ({self.worst_layer})"
        )


def quantise_linears(
    model: nn.Module, *, sensitive: tuple[str, ...] = SENSITIVE, prefix: str = ""
) -> Fidelity:
    """Replace the linear layers of a model in place and report how far the weights moved.

    Layers stay as they are when their name ends with one of `sensitive`, or when a side does
    not divide by 16. LoRAs must have been merged before.
    """
    errors: dict[str, float] = {}
    for parent_name, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            full = ".".join(part for part in (prefix, parent_name, name) if part)
            if isinstance(child, nn.Linear) and _may_be_quantised(child, full, sensitive):
                quantised = Fp8Linear.of(child)
                errors[full] = _relative_error(quantised, child)
                setattr(parent, name, quantised)
    return _summary(errors)


def merge_fidelity(parts: list[Fidelity]) -> Fidelity:
    """Join the reports of several blocks."""
    measured = [part for part in parts if part.layers]
    if not measured:
        return _summary({})
    worst = max(measured, key=lambda part: part.worst)
    layers = sum(part.layers for part in measured)
    mean = sum(part.mean * part.layers for part in measured) / layers
    return Fidelity(layers=layers, worst=worst.worst, worst_layer=worst.worst_layer, mean=mean)


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x [rows, width] as float8_e4m3fn and float32 scales [rows, 1] that undo it.

    A row's largest magnitude becomes 448, the format's largest number.
    """
    if fused.fits(x):
        return fused.quantise_rows(x)
    largest = x.detach().abs().amax(dim=-1, keepdim=True).float().clamp_min(1e-12)
    scaled = x.detach().float() * (fused.FP8_LIMIT / largest)
    return scaled.to(torch.float8_e4m3fn), largest / fused.FP8_LIMIT


def _may_be_quantised(linear: nn.Linear, name: str, sensitive: tuple[str, ...]) -> bool:
    divides = linear.in_features % _MULTIPLE == 0 and linear.out_features % _MULTIPLE == 0
    return divides and not name.endswith(sensitive)


def _relative_error(quantised: Fp8Linear, linear: nn.Linear) -> float:
    exact = linear.weight.detach().float()
    moved = quantised.dequantised(torch.float32) - exact
    return float(moved.norm() / exact.norm().clamp_min(1e-12))


def _summary(errors: dict[str, float]) -> Fidelity:
    if not errors:
        return Fidelity(layers=0, worst=0.0, worst_layer="none", mean=0.0)
    worst = max(errors, key=errors.__getitem__)
    return Fidelity(
        layers=len(errors),
        worst=errors[worst],
        worst_layer=worst,
        mean=sum(errors.values()) / len(errors),
    )


@cache
def _multiplies_float8(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 9)
