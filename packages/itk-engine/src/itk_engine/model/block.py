"""One block of the transformer."""

# B batch, L tokens, D width
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from itk_engine.ops.norms import (
    add_gated,
    add_then_modulate,
    add_then_norm,
    gelu_linear,
    modulate,
)

from .attention import ContextAttention, SelfAttention, SpeechAttention

if TYPE_CHECKING:
    from torch import Tensor

    from .conditions import Conditions
    from .config import DiTConfig


class Block(nn.Module):
    """Self-attention, then prompt and picture, then speech, then a feed-forward layer."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.self_attn = SelfAttention(config)
        self.norm3 = nn.LayerNorm(config.dim, eps=config.eps)
        self.cross_attn = ContextAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.ffn_dim, config.dim),
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, config.dim) / config.dim**0.5)
        self.audio_cross_attn = SpeechAttention(config)
        self.norm_x = nn.LayerNorm(config.dim, eps=config.eps)

    def forward(self, x_BLD: Tensor, time_B6D: Tensor, conditions: Conditions) -> Tensor:
        """Return the tokens after this block, in their dtype; the time signal is float32."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + time_B6D).split(
            1, dim=1
        )
        h = modulate(x_BLD, shift1, scale1, eps=self.eps, dtype=x_BLD.dtype)
        update, position = self.self_attn(h, conditions.rotation, conditions.regions)
        x_BLD, h = add_then_norm(x_BLD, update, self.norm3, gate_B1D=gate1)

        update = self.cross_attn(h, conditions.text, conditions.clip)
        x_BLD, h = add_then_norm(x_BLD, update, self.norm_x)

        update = self.audio_cross_attn(h, conditions.speech, position)
        x_BLD, h = add_then_modulate(
            x_BLD, update, shift_B1D=shift2, scale_B1D=scale2, eps=self.eps
        )

        update = self.ffn[2](gelu_linear(h, self.ffn[0]))
        return add_gated(x_BLD, update, gate2)
