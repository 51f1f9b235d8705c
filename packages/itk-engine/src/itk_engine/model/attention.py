"""The three attentions of a block: among tokens, to the prompt and picture, to the speech."""

# B batch, L tokens, D width, N heads, H head width, S context tokens, T latent frames,
# P speakers, K speech tokens of one speaker per latent frame, R tokens per latent frame
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import nn

from itk_engine.ops import fused
from itk_engine.ops.attention import Attend, scaled_dot_product
from itk_engine.ops.norms import rms_norm
from itk_engine.ops.rope import line_rotation, rotate
from itk_engine.ops.speaker_map import (
    SPEECH_POSITIONS,
    speaker_map,
    speaker_positions,
    speech_rotation,
)

if TYPE_CHECKING:
    from torch import Tensor

    from itk_engine.ops.rope import Rotation

    from .config import DiTConfig


class RMSNorm(nn.Module):
    """A weight for `rms_norm` over the whole width, before heads are split."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Normalise the last axis."""
        return rms_norm(x_BLD, self.weight, self.eps)

    def rotated(self, x_BLD: Tensor, rotation: Rotation, *, heads: int) -> Tensor:
        """Normalise the last axis, split it into heads and rotate them: [B, L, N, H]."""
        if fused.fits(x_BLD):
            return fused.norm_rotate(
                x_BLD, heads=heads, weight_D=self.weight, eps=self.eps, rotation=rotation
            )
        return rotate(_heads(self(x_BLD), heads), rotation)


class SelfAttention(nn.Module):
    """Every token attends to every token of the chunk."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.attend: Attend = scaled_dot_product
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)

    def forward(
        self, x_BLD: Tensor, rotation: Rotation, regions_BKR: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the update [B, L, D] and, where regions are given, each token's position.

        The position [B, L] lies on the axis that separates the speakers; it routes the speech
        and carries no gradient.
        """
        q = self.norm_q.rotated(self.q(x_BLD), rotation, heads=self.heads)
        k = self.norm_k.rotated(self.k(x_BLD), rotation, heads=self.heads)
        v = _heads(self.v(x_BLD), self.heads)
        update = self.o(self.attend(q, k, v).flatten(-2))
        if regions_BKR is None:
            return update, None
        return update, self.positions(q.detach(), k.detach(), regions_BKR)

    def positions(self, q_BLNH: Tensor, k_BLNH: Tensor, regions_BKR: Tensor) -> Tensor:
        """Return [B, L]: where each token lies on the axis that separates the speakers."""
        return speaker_positions(self.speaker_map(q_BLNH, k_BLNH, regions_BKR))

    def speaker_map(self, q_BLNH: Tensor, k_BLNH: Tensor, regions_BKR: Tensor) -> Tensor:
        """Return [B, 3, L]: how much each token attends to each speaker's region."""
        return speaker_map(q_BLNH, k_BLNH, regions_BKR, attend=self.attend)


class ContextAttention(nn.Module):
    """Tokens attend to the prompt and, apart, to the picture's features; both are added."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.attend: Attend = scaled_dot_product
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)
        self.k_img = nn.Linear(config.dim, config.dim)
        self.v_img = nn.Linear(config.dim, config.dim)
        self.norm_k_img = RMSNorm(config.dim, config.eps)

    def forward(self, x_BLD: Tensor, text_BSD: Tensor, clip_BSD: Tensor) -> Tensor:
        """Return the update [B, L, D]; zero-padded text rows are attended to on purpose."""
        q = _heads(self.norm_q(self.q(x_BLD)), self.heads)
        text = self.attend(
            q,
            _heads(self.norm_k(self.k(text_BSD)), self.heads),
            _heads(self.v(text_BSD), self.heads),
        )
        picture = self.attend(
            q,
            _heads(self.norm_k_img(self.k_img(clip_BSD)), self.heads),
            _heads(self.v_img(clip_BSD), self.heads),
        )
        return self.o((text + picture).flatten(-2))


class SpeechAttention(nn.Module):
    """Tokens attend to the speech of their own latent frame."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.attend: Attend = scaled_dot_product
        self.q_linear = nn.Linear(config.dim, config.dim)
        self.kv_linear = nn.Linear(config.output_dim, 2 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def forward(self, x_BLD: Tensor, speech_BTPKC: Tensor, position_BL: Tensor | None) -> Tensor:
        """Return the update [B, L, D].

        With positions, queries and keys are rotated on the axis that separates the speakers
        (L-RoPE, Kong et al. 2025): each token hears the speaker whose place is near its own.
        """
        speakers, tokens = speech_BTPKC.shape[2:4]
        q = _heads(self.q_linear(x_BLD), self.heads)
        speech = rearrange(speech_BTPKC, "b t p k c -> (b t) (p k) c")
        k, v = (_heads(part, self.heads) for part in self.kv_linear(speech).chunk(2, dim=-1))
        if position_BL is not None:
            assert speakers == len(SPEECH_POSITIONS)
            q = rotate(q, line_rotation(position_BL, q.shape[-1]))
            k = rotate(k, speech_rotation(tokens, k.shape[-1], k.device))
        return self.proj(self.hear(q, k, v).flatten(-2))

    def hear(self, q_BLNH: Tensor, k_FSNH: Tensor, v_FSNH: Tensor) -> Tensor:
        """Let the tokens of each latent frame attend to its speech, F = B·T; [B, L, N, H]."""
        batch = q_BLNH.shape[0]
        q = rearrange(q_BLNH, "b (t r) n h -> (b t) r n h", t=k_FSNH.shape[0] // batch)
        return rearrange(self.attend(q, k_FSNH, v_FSNH), "(b t) r n h -> b (t r) n h", b=batch)


def _heads(x_BLD: Tensor, heads: int) -> Tensor:
    return x_BLD.unflatten(-1, (heads, -1))
