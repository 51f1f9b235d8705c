"""Sees a picture with the vision half of CLIP ViT-H/14.

Shapes: B batch, L tokens, D width, N heads.
"""

import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from attrs import frozen
from torch import Tensor, nn

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


@frozen(kw_only=True)
class VisionConfig:
    """Sizes of the vision transformer; the defaults are the published ones."""

    image_size: int = 224
    patch_size: int = 14
    dim: int = 1280
    mlp_ratio: int = 4
    out_dim: int = 1024
    num_heads: int = 16
    num_layers: int = 32

    @property
    def tokens(self) -> int:
        """How many tokens come out: one for each patch and one for the whole."""
        return (self.image_size // self.patch_size) ** 2 + 1


class VisionEncoder(nn.Module):
    """The transformer up to its last block but one, whose output the video model was trained on.

    The last block, `post_norm` and `head` are in the published file and so they are here, but
    nothing uses them.
    """

    def __init__(self, config: VisionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VisionConfig()
        width = config.dim
        self.patch_embedding = nn.Conv2d(
            3, width, config.patch_size, stride=config.patch_size, bias=False
        )
        self.cls_embedding = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.pos_embedding = nn.Parameter(torch.randn(1, config.tokens, width) * width**-0.5)
        self.pre_norm = nn.LayerNorm(width)
        self.transformer = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.post_norm = nn.LayerNorm(width)
        self.head = nn.Parameter(torch.randn(width, config.out_dim) * width**-0.5)

    def encode(self, frame: Tensor) -> Tensor:
        """Return the features [B, tokens, dim] of frames [B, 3, 1, H, W] in [-1, 1]."""
        return self(self.prepare(frame[:, :, 0]).to(self.head.dtype))

    def prepare(self, picture: Tensor) -> Tensor:
        """Resize [B, 3, H, W] in [-1, 1] to the square that CLIP sees, in CLIP's own units."""
        side = self.config.image_size
        picture = F.interpolate(
            picture.to(self.head.device, torch.float32), (side, side), mode="bicubic"
        )
        picture = picture * 0.5 + 0.5
        mean, std = (picture.new_tensor(values).view(-1, 1, 1) for values in (_MEAN, _STD))
        return (picture - mean) / std

    def forward(self, picture: Tensor) -> Tensor:
        """Return the features [B, tokens, dim] of a prepared picture [B, 3, side, side]."""
        x_BLD = self.patch_embedding(picture).flatten(2).transpose(1, 2)  # noqa: N806
        x_BLD = torch.cat([self.cls_embedding.expand(len(x_BLD), -1, -1), x_BLD], 1)  # noqa: N806
        x_BLD = self.pre_norm(x_BLD + self.pos_embedding)  # noqa: N806
        for block in self.transformer[:-1]:
            x_BLD = block(x_BLD)  # noqa: N806
        return x_BLD


class Block(nn.Module):
    """Attention and a two-layer network, each behind its norm."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, hidden = config.dim, config.dim * config.mlp_ratio
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, L, D]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Every token looks at every token."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.to_qkv = nn.Linear(config.dim, 3 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, L, D]."""
        heads = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        return self.proj(mixed.transpose(1, 2).flatten(2))
