"""Lets the transformer train with the small operations of its blocks fused."""

# ruff: noqa: N803, PLR0917

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from itk_engine.model import attention as attention_layers
from itk_engine.model import block as block_layers

Tensor = torch.Tensor


def fuse() -> None:
    """Let training run the small operations of a block as fused kernels."""
    torch._dynamo.config.recompile_limit = 64  # noqa: SLF001
    layer_norm = nn.functional.layer_norm

    def modulate(
        x: Tensor, shift: Tensor, scale: Tensor, *, eps: float, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        return (layer_norm(x.float(), (x.shape[-1],), eps=eps) * (1 + scale) + shift).to(dtype)

    def add_gated(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
        return (x + update * gate).to(x.dtype)

    def add_norm(
        x: Tensor, update: Tensor, weight: Tensor, bias: Tensor, gate: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor]:
        total = x + update if gate is None else add_gated(x, update, gate)
        normed = layer_norm(total.float(), (x.shape[-1],), weight, bias, eps)
        return total, normed.to(x.dtype)

    def add_modulate(
        x: Tensor, update: Tensor, shift: Tensor, scale: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        total = x + update
        return total, modulate(total, shift, scale, eps=eps, dtype=x.dtype)

    def turn(x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, heads: int, eps: float) -> Tensor:
        x32 = x.float()
        y = x32 * torch.rsqrt(x32.square().mean(dim=-1, keepdim=True) + eps) * weight
        even, odd = y.unflatten(-1, (heads, -1, 2)).unbind(-1)
        cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
        turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
        return turned.flatten(-2).to(x.dtype)

    fast_turn = torch.compile(turn, dynamic=True)

    def rotated(self: Any, x: Tensor, rotation: Any, *, heads: int) -> Tensor:
        return fast_turn(x, self.weight, rotation[0], rotation[1], heads, self.eps)

    fast_norm = torch.compile(add_norm, dynamic=True)
    fast_modulate = torch.compile(add_modulate, dynamic=True)

    def add_then_norm(
        x: Tensor, update: Tensor, norm: nn.LayerNorm, *, gate_B1D: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return fast_norm(x, update, norm.weight, norm.bias, gate_B1D, norm.eps)

    def add_then_modulate(
        x: Tensor, update: Tensor, *, shift_B1D: Tensor, scale_B1D: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        return fast_modulate(x, update, shift_B1D, scale_B1D, eps)

    block_layers.modulate = torch.compile(modulate, dynamic=True)
    block_layers.add_gated = torch.compile(add_gated, dynamic=True)
    block_layers.add_then_norm = add_then_norm
    block_layers.add_then_modulate = add_then_modulate
    attention_layers.RMSNorm.rotated = rotated
