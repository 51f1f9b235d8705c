"""The InfiniteTalk transformer: Wan2.1's image-to-video model that also hears speech."""

# B batch, C channels, T latent frames, h w latent height and width, L tokens, D width
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

from itk_engine.ops.norms import modulate
from itk_engine.ops.precise import linear_float32
from itk_engine.ops.rope import grid_rotation

from .block import Block
from .conditions import Conditions, TimeSignal
from .speech_adapter import SpeechAdapter

if TYPE_CHECKING:
    from torch import Tensor

    from itk_engine.ops.attention import Attend
    from itk_engine.ops.rope import Rotation

    from .config import DiTConfig

_PATCH = (1, 2, 2)  # latent frames, rows and columns in one token


class Head(nn.Module):
    """Turns tokens into the velocity of their latent patch, in float32."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.head = nn.Linear(config.dim, config.out_dim * _PATCH[0] * _PATCH[1] * _PATCH[2])
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)

    def forward(self, x_BLD: Tensor, embedding_BD: Tensor) -> Tensor:
        """Return [B, L, 4·out_dim] float32."""
        shift, scale = (self.modulation.float() + embedding_BD.unsqueeze(1)).split(1, dim=1)
        return linear_float32(self.head, modulate(x_BLD, shift, scale, eps=self.eps))


class PictureAdapter(nn.Module):
    """Maps CLIP's features of the picture to context tokens."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(config.clip_dim),
            nn.Linear(config.clip_dim, config.clip_dim),
            nn.GELU(),
            nn.Linear(config.clip_dim, config.dim),
            nn.LayerNorm(config.dim),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, 257, D] of features [B, 257, clip_dim]."""
        return self.proj(features)


class DiT(nn.Module):
    """Predicts the velocity of a chunk's latent video.

    `condition` prepares once what stays the same over steps, `embed_time` the timesteps;
    `forward` is one prediction. The attributes are named as in the published checkpoints.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_dim, dim, _PATCH, stride=_PATCH)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(
            nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)
        self.img_emb = PictureAdapter(config)
        self.audio_proj = SpeechAdapter(config)
        self._rotations: dict[tuple[tuple[int, int, int], torch.device], Rotation] = {}

    def forward(
        self, latent_BCThw: Tensor, timestep: Tensor | TimeSignal, conditions: Conditions
    ) -> Tensor:
        """Return the velocity [B, out_dim, T, h, w] float32 of a latent [B, 16, T, h, w].

        `timestep` is [B] in 0..1000, or what `embed_time` made of it.
        """
        time = timestep if isinstance(timestep, TimeSignal) else self.embed_time(timestep)
        x = self.embed_latent(latent_BCThw, conditions)
        x = self.run_blocks(x, time, conditions)
        return self.predict(x, time, grid_of(latent_BCThw))

    def embed_latent(self, latent_BCThw: Tensor, conditions: Conditions) -> Tensor:
        """Return tokens [B, L, D]: latent, mask and picture channels of each patch, embedded."""
        dtype = conditions.text.dtype
        channels = torch.cat((latent_BCThw.to(dtype), conditions.picture.to(dtype)), dim=1)
        patches = rearrange(channels, "b c t (h p) (w q) -> b (t h w) (c p q)", p=2, q=2)
        return functional.linear(
            patches, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias
        )

    def run_blocks(self, x_BLD: Tensor, time: TimeSignal, conditions: Conditions) -> Tensor:
        """Return the tokens after all blocks."""
        for block in self.blocks:
            x_BLD = block(x_BLD, time.modulation, conditions)
        return x_BLD

    def predict(self, x_BLD: Tensor, time: TimeSignal, grid: tuple[int, int, int]) -> Tensor:
        """Return the velocity [B, out_dim, T, h, w] float32 that the last tokens stand for."""
        frames, rows, columns = grid
        return rearrange(
            self.head(x_BLD, time.embedding),
            "b (t h w) (p q c) -> b c t (h p) (w q)",
            t=frames,
            h=rows,
            w=columns,
            p=2,
            q=2,
        )

    def embed_time(self, timestep_B: Tensor) -> TimeSignal:
        """Embed timesteps [B] in 0..1000, in float32 from sinusoids in float64."""
        half = self.config.freq_dim // 2
        rates = 10000.0 ** (
            -torch.arange(half, dtype=torch.float64, device=timestep_B.device) / half
        )
        angles = torch.outer(timestep_B.double(), rates)
        waves = torch.cat((angles.cos(), angles.sin()), dim=1).float()
        hidden = functional.silu(linear_float32(self.time_embedding[0], waves))
        embedding = linear_float32(self.time_embedding[2], hidden)
        modulation = linear_float32(self.time_projection[1], functional.silu(embedding))
        return TimeSignal(embedding=embedding, modulation=modulation.unflatten(1, (6, -1)))

    def condition(
        self,
        *,
        text: Tensor,
        clip: Tensor,
        speech: Tensor,
        picture: Tensor,
        masks: Tensor | None = None,
    ) -> Conditions:
        """Prepare everything that stays the same over the steps of a branch.

        `text` [B, n, text_dim] with n ≤ text_len, `clip` [B, 257, clip_dim], `speech` windows
        [B, P, F, 5, layers, channels] with F = 4(T - 1) + 1, `picture` [B, 20, T, h, w],
        `masks` [B, 3, h, w] of first speaker, second speaker and background, needed for P = 2.
        """
        grid = grid_of(picture)
        tokens = self.embed_speech(speech)
        speakers = tokens.shape[2]
        assert speakers == 1 or masks is not None
        return Conditions(
            text=self.embed_text(text),
            clip=self.embed_clip(clip),
            speech=tokens,
            picture=picture,
            regions=None if speakers == 1 or masks is None else region_tokens(masks, grid),
            rotation=self.rotation(grid, picture.device),
        )

    def embed_text(self, text_BSC: Tensor) -> Tensor:
        """Return [B, text_len, D]; missing rows are zeros before the embedding."""
        missing = self.config.text_len - text_BSC.shape[1]
        return self.text_embedding(functional.pad(text_BSC, (0, 0, 0, missing)))

    def embed_clip(self, features: Tensor) -> Tensor:
        """Return [B, 257, D] context tokens of CLIP's features [B, 257, clip_dim]."""
        return self.img_emb(features)

    def embed_speech(self, windows_BPFWAC: Tensor) -> Tensor:
        """Return speech tokens [B, T, P, K, output_dim]."""
        return rearrange(self.audio_proj(windows_BPFWAC), "b p t k c -> b t p k c")

    def rotation(self, grid: tuple[int, int, int], device: torch.device) -> Rotation:
        """Return the rotation table of a grid; the last one made is kept on the device."""
        key = (grid, device)
        if key not in self._rotations:
            self._rotations = {key: grid_rotation(grid, self.config.head_width, device)}
        return self._rotations[key]

    def use_attention(self, attend: Attend) -> None:
        """Let every attention of every block run on this backend."""
        for block in self.blocks:
            assert isinstance(block, Block)
            block.self_attn.attend = attend
            block.cross_attn.attend = attend
            block.audio_cross_attn.attend = attend


def grid_of(latent_BCThw: Tensor) -> tuple[int, int, int]:
    """Return how many tokens a latent has in time, rows and columns."""
    frames, height, width = latent_BCThw.shape[-3:]
    return frames // _PATCH[0], height // _PATCH[1], width // _PATCH[2]


def region_tokens(masks_B3hw: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Return [B, 3, rows·columns] zeros and ones: which token of a frame is whose."""
    nearest = functional.interpolate(masks_B3hw.float(), size=grid[1:], mode="nearest")
    return (nearest > 0).float().flatten(2)
