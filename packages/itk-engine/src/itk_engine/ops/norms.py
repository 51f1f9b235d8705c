"""Normalisation and modulation with statistics in float32."""

# B batch, L tokens, D width
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from . import fused

if TYPE_CHECKING:
    from torch import Tensor


def plain_layer_norm(x_BLD: Tensor, eps: float) -> Tensor:
    """Centre and scale the last axis, without weights, in x's dtype."""
    return functional.layer_norm(x_BLD, (x_BLD.shape[-1],), eps=eps)


def rms_norm(x_BLD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """Divide by the root mean square over the last axis, then weigh.

    The normalised value is rounded to x's dtype before the weight, as the checkpoints expect.
    """
    if fused.fits(x_BLD):
        return fused.norm_rotate(x_BLD, heads=1, weight_D=weight_D, eps=eps).squeeze(-2)
    x32 = x_BLD.float()
    normed = x32 * torch.rsqrt(x32.square().mean(dim=-1, keepdim=True) + eps)
    return normed.to(x_BLD.dtype) * weight_D


def modulate(
    x_BLD: Tensor,
    shift_B1D: Tensor,
    scale_B1D: Tensor,
    *,
    eps: float,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Layer-normalise x and move it by the time's shift and scale, in float32; `dtype` out."""
    if fused.fits(x_BLD):
        return fused.modulate(x_BLD, shift_B1D, scale_B1D, eps=eps, dtype=dtype)
    return (plain_layer_norm(x_BLD, eps) * (1 + scale_B1D) + shift_B1D).to(dtype)


def add_gated(x_BLD: Tensor, update_BLD: Tensor, gate_B1D: Tensor) -> Tensor:
    """Add a gated update, product and sum in the gate's float32, the result in x's dtype."""
    if fused.fits(x_BLD):
        return fused.add_gated(x_BLD, update_BLD, gate_B1D)
    return (x_BLD + update_BLD * gate_B1D).to(x_BLD.dtype)


def add_then_norm(
    x_BLD: Tensor,
    update_BLD: Tensor,
    norm: nn.LayerNorm,
    *,
    gate_B1D: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return x plus an update, gated where there is a gate, and the layer norm of the sum."""
    if fused.fits(x_BLD):
        return fused.add_norm(
            x_BLD, update_BLD, weight=norm.weight, bias=norm.bias, eps=norm.eps, gate_B1D=gate_B1D
        )
    total = x_BLD + update_BLD if gate_B1D is None else add_gated(x_BLD, update_BLD, gate_B1D)
    return total, norm(total)


def add_then_modulate(
    x_BLD: Tensor, update_BLD: Tensor, *, shift_B1D: Tensor, scale_B1D: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return x plus an update and the modulated norm of the sum, both in x's dtype."""
    if fused.fits(x_BLD):
        return fused.add_norm(
            x_BLD, update_BLD, weight=scale_B1D, bias=shift_B1D, eps=eps, modulated=True
        )
    total = x_BLD + update_BLD
    return total, modulate(total, shift_B1D, scale_B1D, eps=eps, dtype=total.dtype)


def gelu_linear(x: Tensor, linear: nn.Module) -> Tensor:
    """Return tanh-GELU of a linear layer's output."""
    if fused.fits(x) and type(linear) is nn.Linear and x.dtype == linear.weight.dtype:
        return fused.gelu_linear(x, linear.weight, linear.bias)
    return functional.gelu(linear(x), approximate="tanh")
