"""The sizes of the transformer, as a checkpoint's config.json names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen
from attrs.validators import ge, in_

if TYPE_CHECKING:
    from collections.abc import Mapping

# Keys that config.json may carry and that change nothing here: each has one legal value.
_FIXED: Mapping[str, Any] = {
    "patch_size": [1, 2, 2],
    "window_size": [-1, -1],
    "qk_norm": True,
    "cross_attn_norm": True,
    "norm_input_visual": True,
    "norm_output_audio": True,
}


@frozen(kw_only=True)
class DiTConfig:
    """The sizes of one InfiniteTalk transformer; the defaults are the 14B model's."""

    model_type: str = field(default="i2v", validator=in_(("i2v",)))
    dim: int = field(default=5120, validator=ge(1))
    ffn_dim: int = field(default=13824, validator=ge(1))
    freq_dim: int = field(default=256, validator=ge(2))
    in_dim: int = field(default=36, validator=ge(1))
    out_dim: int = field(default=16, validator=ge(1))
    num_heads: int = field(default=40, validator=ge(1))
    num_layers: int = field(default=40, validator=ge(1))
    text_len: int = field(default=512, validator=ge(1))
    text_dim: int = field(default=4096, validator=ge(1))
    intermediate_dim: int = field(default=512, validator=ge(1))
    output_dim: int = field(default=768, validator=ge(1))
    context_tokens: int = field(default=32, validator=ge(1))
    eps: float = 1e-6
    audio_window: int = field(default=5, validator=ge(3))
    vae_scale: int = field(default=4, validator=ge(2))
    audio_blocks: int = field(default=12, validator=ge(1))
    audio_channels: int = field(default=768, validator=ge(1))
    clip_dim: int = field(default=1280, validator=ge(1))

    def __attrs_post_init__(self) -> None:
        if self.dim % self.num_heads or self.head_width % 2:
            message = (
                f"dim must be num_heads times an even head width, "
                f"got dim {self.dim} with {self.num_heads} heads"
            )
            raise ValueError(message)

    @property
    def head_width(self) -> int:
        """The width of one attention head."""
        return self.dim // self.num_heads

    @property
    def later_windows(self) -> int:
        """How many speech vectors a latent frame after the first one sees."""
        return 2 * (self.audio_window // 2 + 1) + self.vae_scale - 2

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DiTConfig:
        """Read config.json's content; keys beginning with `_` and the tiny model's own are skipped.

        Raises:
            ValueError: a key is unknown, or a fixed one has a value that this model lacks.
        """
        known = {attribute.name for attribute in attrs.fields(cls)}
        sizes: dict[str, Any] = {}
        for key, value in values.items():
            if key in known:
                sizes[key] = value
            elif key in _FIXED:
                _require_fixed(key, value)
            elif not key.startswith("_") and key != "bucket_scale":
                message = f"config.json: unknown key {key!r}"
                raise ValueError(message)
        return cls(**sizes)


def _require_fixed(key: str, value: Any) -> None:
    legal = _FIXED[key]
    came = list(value) if isinstance(value, tuple) else value
    if came != legal:
        message = f"config.json: {key} must be {legal}, got {value!r}"
        raise ValueError(message)
