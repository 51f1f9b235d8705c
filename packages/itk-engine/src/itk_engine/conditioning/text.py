"""Reads a prompt with the encoder half of umT5.

Shapes: B batch, L tokens, D width, N heads.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from attrs import frozen
from torch import Tensor, nn


@frozen(kw_only=True)
class TextEncoderConfig:
    """Sizes of the encoder; the defaults are those of umT5-XXL."""

    vocab_size: int = 256384
    dim: int = 4096
    dim_attn: int = 4096
    dim_ffn: int = 10240
    num_heads: int = 64
    num_layers: int = 24
    num_buckets: int = 32
    max_distance: int = 128


class TextEncoder(nn.Module):
    """Token ids to states; every layer has its own relative positions."""

    def __init__(self, config: TextEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TextEncoderConfig()
        self.token_embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = RootMeanSquareNorm(config.dim)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the states [B, L, dim] of ids [B, L].

        `mask` [B, L] is 0 where a token is padding that nobody may look at. Padding's own states
        are computed and mean nothing.
        """
        x = self.token_embedding(ids)
        buckets = self._buckets(ids.shape[1], x.device)
        hidden = None if mask is None else (mask == 0)[:, None, None, :]
        for block in self.blocks:
            x = block(x, buckets, hidden)
        return self.norm(x)

    def _buckets(self, length: int, device: torch.device) -> Tensor:
        """Number the distance j - i of every pair of tokens, [L, L] (Raffel et al. 2020).

        Half of the numbers are for tokens behind, half for tokens ahead; near distances have one
        each, far ones share them on a logarithmic scale.
        """
        half = self.config.num_buckets // 2
        near = half // 2
        place = torch.arange(length, device=device)
        offset = place[None, :] - place[:, None]
        distance = offset.abs()
        span = math.log(self.config.max_distance / near)
        far = (torch.log(distance.clamp_min(1).float() / near) / span * (half - near)).long()
        bucket = torch.where(distance < near, distance, (near + far).clamp_max(half - 1))
        return bucket + half * (offset > 0)


class Block(nn.Module):
    """Attention and a gated network, each behind its norm."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.norm1 = RootMeanSquareNorm(config.dim)
        self.attn = Attention(config)
        self.norm2 = RootMeanSquareNorm(config.dim)
        self.ffn = GatedNetwork(config)
        self.pos_embedding = PositionBias(config)

    def forward(self, x: Tensor, buckets: Tensor, hidden: Tensor | None) -> Tensor:
        """Return [B, L, D]."""
        bias = self.pos_embedding(buckets)
        if hidden is not None:
            bias = bias.masked_fill(hidden, torch.finfo(x.dtype).min)
        x = x + self.attn(self.norm1(x), bias.to(x.dtype))
        return x + self.ffn(self.norm2(x))


class Attention(nn.Module):
    """Attention whose logits are not scaled, with a bias for each pair of tokens."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.k = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.v = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.o = nn.Linear(config.dim_attn, config.dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return [B, L, D]; `bias` is [B or 1, N, L, L]."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        bias = bias.expand(len(x), -1, -1, -1)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(mixed.transpose(1, 2).flatten(2))


class GatedNetwork(nn.Module):
    """Two layers, the first gated by a third."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(config.dim, config.dim_ffn, bias=False), nn.GELU(approximate="tanh")
        )
        self.fc1 = nn.Linear(config.dim, config.dim_ffn, bias=False)
        self.fc2 = nn.Linear(config.dim_ffn, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, L, D]."""
        return self.fc2(self.fc1(x) * self.gate(x))


class PositionBias(nn.Module):
    """One number for each head and each bucket of distances."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.num_buckets, config.num_heads)

    def forward(self, buckets: Tensor) -> Tensor:
        """Return [1, N, L, L] for buckets [L, L]."""
        return self.embedding(buckets).permute(2, 0, 1)[None]


class RootMeanSquareNorm(nn.Module):
    """x over its root mean square, times a weight; the statistics are float32."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., width] in the weight's dtype."""
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.eps)
        return self.weight * (x * scale).to(self.weight.dtype)
