"""The layers of wav2vec 2.0 (Baevski et al. 2020), under their published names.

Shapes: B batch, S samples or what convolutions leave of them, C channels, L frames, D width.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs
import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from attrs import field, frozen, validators
from torch import Tensor, nn


@frozen(kw_only=True)
class SpeechConfig:
    """Sizes and norm styles under their names in config.json; the defaults are the base model's.

    `feat_extract_norm` "group": only the first convolution is normalised, over all of time.
    `do_stable_layer_norm`: each transformer layer is normalised before, not after, its parts.
    `do_normalize` (of preprocessor_config.json): a speech is brought to mean 0, variance 1 first.
    """

    conv_dim: tuple[int, ...] = field(default=(512,) * 7, converter=tuple)
    conv_kernel: tuple[int, ...] = field(default=(10, 3, 3, 3, 3, 2, 2), converter=tuple)
    conv_stride: tuple[int, ...] = field(default=(5, 2, 2, 2, 2, 2, 2), converter=tuple)
    conv_bias: bool = False
    feat_extract_norm: Literal["group", "layer"] = field(
        default="group", validator=validators.in_(("group", "layer"))
    )
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    layer_norm_eps: float = 1e-5
    hidden_act: str = field(default="gelu", validator=validators.in_(("gelu",)))
    feat_extract_activation: str = field(default="gelu", validator=validators.in_(("gelu",)))
    do_normalize: bool = True

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "SpeechConfig":
        """Read the content of a config.json, whose other keys concern training.

        Raises:
            ValueError: a size or style that this model does not have.
        """
        known = {attribute.name for attribute in attrs.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


class FeatureExtractor(nn.Module):
    """Convolutions over the waveform, 320 samples to one step in the published sizes."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(
            WaveConv(config, index) for index in range(len(config.conv_dim))
        )

    def forward(
        self,
        x_BCS: Tensor,  # noqa: N803
        moments: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return [B, C, steps] of samples [B, 1, S].

        `moments` are mean and variance [C] over all of time, of which the samples are a part.
        """
        for layer in self.conv_layers:
            x_BCS, moments = layer(x_BCS, moments), None  # noqa: N806  the first layer's alone
        return x_BCS


class WaveConv(nn.Module):
    """One convolution, its norm where it has one, GELU."""

    def __init__(self, config: SpeechConfig, index: int) -> None:
        super().__init__()
        width = config.conv_dim[index]
        self.conv = nn.Conv1d(
            config.conv_dim[index - 1] if index else 1,
            width,
            config.conv_kernel[index],
            stride=config.conv_stride[index],
            bias=config.conv_bias,
        )
        self.layer_norm: nn.GroupNorm | nn.LayerNorm | None = None
        if config.feat_extract_norm == "layer":
            self.layer_norm = nn.LayerNorm(width)
        elif index == 0:
            self.layer_norm = nn.GroupNorm(width, width)

    def forward(
        self,
        x_BCS: Tensor,  # noqa: N803
        moments: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return [B, C, steps], normalised over time by `moments` where they are given."""
        y = self.conv(x_BCS)
        if isinstance(self.layer_norm, nn.GroupNorm) and moments is not None:
            norm = self.layer_norm
            y = F.batch_norm(y, *moments, norm.weight, norm.bias, eps=norm.eps)
        elif isinstance(self.layer_norm, nn.LayerNorm):
            y = self.layer_norm(y.transpose(1, 2)).transpose(1, 2)
        elif self.layer_norm is not None:
            y = self.layer_norm(y)
        return F.gelu(y)


class FeatureProjection(nn.Module):
    """Brings the convolutions' channels to the transformer's width."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)

    def forward(self, x_BLC: Tensor) -> Tensor:  # noqa: N803
        """Return [B, L, D]."""
        return self.projection(self.layer_norm(x_BLC))


class Encoder(nn.Module):
    """The transformer."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.stable = config.do_stable_layer_norm
        self.pos_conv_embed = PositionConv(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x_BLD: Tensor) -> Iterator[Tensor]:  # noqa: N803
        """Yield what each layer gives [B, L, D], the stable style's last one normalised."""
        x = x_BLD + self.pos_conv_embed(x_BLD)
        if not self.stable:
            x = self.layer_norm(x)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            x = layer(x)
            yield self.layer_norm(x) if self.stable and index == last else x


class PositionConv(nn.Module):
    """Tells frames where they are by a wide convolution over their neighbours."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.conv = WeightNormConv(
            config.hidden_size,
            kernel=config.num_conv_pos_embeddings,
            groups=config.num_conv_pos_embedding_groups,
        )

    def forward(self, x_BLD: Tensor) -> Tensor:  # noqa: N803
        """Return [B, L, D]."""
        y = self.conv(x_BLD.transpose(1, 2))
        return F.gelu(y[:, :, : x_BLD.shape[1]]).transpose(1, 2)


class WeightNormConv(nn.Module):
    """A grouped convolution whose kernel has, at each tap, a direction and a length."""

    def __init__(self, channels: int, *, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        deviation = 2 * (channels * kernel) ** -0.5
        self.weight_v = nn.Parameter(torch.randn(channels, channels // groups, kernel) * deviation)
        length = deviation * channels * groups**-0.5
        self.weight_g = nn.Parameter(torch.full((1, 1, kernel), length))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BDL: Tensor) -> Tensor:  # noqa: N803
        """Return [B, D, L], one longer where the kernel is even."""
        length = torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)
        weight = self.weight_v * (self.weight_g / length)
        return F.conv1d(x_BDL, weight, self.bias, padding=self.kernel // 2, groups=self.groups)


class Layer(nn.Module):
    """Attention and a two-layer network with their norms."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.stable = config.do_stable_layer_norm
        self.attention = Attention(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x_BLD: Tensor) -> Tensor:  # noqa: N803
        """Return [B, L, D]."""
        if self.stable:
            x = x_BLD + self.attention(self.layer_norm(x_BLD))
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x_BLD + self.attention(x_BLD))
        return self.final_layer_norm(x + self.feed_forward(x))


class Attention(nn.Module):
    """Every frame looks at every frame."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:  # noqa: N803
        """Return [B, L, D]."""
        q, k, v = (
            project(x_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x_BLD: Tensor) -> Tensor:  # noqa: N803
        """Return [B, L, D]."""
        return self.output_dense(F.gelu(self.intermediate_dense(x_BLD)))
