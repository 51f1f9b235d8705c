"""Turns windows of speech features into tokens for each latent frame."""

# B batch, P speakers, F frames, W window, A wav2vec2 layers, C channels, T latent frames,
# K tokens of one speaker per latent frame
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from .config import DiTConfig


class SpeechAdapter(nn.Module):
    """Maps each latent frame's speech windows to a few tokens (MultiTalk, Kong et al. 2025).

    The first latent frame is one video frame and sees its whole window; every later one is
    four video frames, of which the middle ones give only their centre, so that the vectors
    are consecutive in time.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        features = config.audio_blocks * config.audio_channels
        hidden = config.intermediate_dim
        self.group = config.vae_scale
        self.tokens = config.context_tokens
        self.proj1 = nn.Linear(config.audio_window * features, hidden)
        self.proj1_vf = nn.Linear(config.later_windows * features, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, config.context_tokens * config.output_dim)
        self.norm = nn.LayerNorm(config.output_dim)

    def forward(self, windows_BPFWAC: Tensor) -> Tensor:
        """Return [B, P, T, K, output_dim], T = 1 + (F - 1) / 4, in the weights' dtype."""
        first, later = windows_BPFWAC[:, :, :1], windows_BPFWAC[:, :, 1:]
        tokens_first = functional.relu(self.proj1(rearrange(first, "b p f w a c -> b p f (w a c)")))
        vectors_later = self._consecutive(later)
        tokens_later = functional.relu(
            self.proj1_vf(rearrange(vectors_later, "b p t v a c -> b p t (v a c)"))
        )
        hidden = torch.cat((tokens_first, tokens_later), dim=2)
        hidden = functional.relu(self.proj2(hidden))
        tokens = rearrange(self.proj3(hidden), "b p t (k c) -> b p t k c", k=self.tokens)
        normed = functional.layer_norm(
            tokens.float(),
            (tokens.shape[-1],),
            self.norm.weight.float(),
            self.norm.bias.float(),
            self.norm.eps,
        )
        return normed.to(tokens.dtype)

    def _consecutive(self, later: Tensor) -> Tensor:
        """Pick, per group of frames, the window's front, the centres, the window's back."""
        grouped = rearrange(later, "b p (t g) w a c -> b p t g w a c", g=self.group)
        middle = grouped.shape[4] // 2
        front = grouped[:, :, :, 0, : middle + 1]
        centres = grouped[:, :, :, 1:-1, middle]
        back = grouped[:, :, :, -1, middle:]
        return torch.cat((front, centres, back), dim=3)
