"""What the models of a checkpoint take as their weights are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from .sizes import BYTES_PER_VALUE, block_bytes, outer_bytes

if TYPE_CHECKING:
    from itk_engine.model import DiTConfig

    from .sizes import Precision

# Parameters of the published encoders; the text encoder is half of a small card by itself.
TEXT_ENCODER_PARAMETERS = 5_680_910_336
TEXT_EMBEDDING_PARAMETERS = 256_384 * 4096
TEXT_LAYERS = 24
IMAGE_ENCODER_PARAMETERS = 632_076_800
VAE_PARAMETERS = 126_892_531
SPEECH_ENCODER_PARAMETERS = 94_371_712  # in float32, and always on the device


@frozen(kw_only=True)
class ModelBytes:
    """Bytes that the models take as their weights are stored; `text_layers` is a number.

    `block` is one block of the transformer, `outer` what lies outside its blocks.
    """

    block: int
    outer: int
    text: int
    text_embedding: int
    text_layers: int
    image: int
    vae: int
    speech: int

    @classmethod
    def published(
        cls, shape: DiTConfig, precision: Precision, *, vae_bytes_per_value: int = 4
    ) -> ModelBytes:
        """A transformer of this shape and precision, beside the published models."""
        value = max(2, BYTES_PER_VALUE[precision])  # nothing beside the blocks is quantised
        return cls(
            block=block_bytes(shape, precision),
            outer=outer_bytes(shape, precision),
            text=value * TEXT_ENCODER_PARAMETERS,
            text_embedding=value * TEXT_EMBEDDING_PARAMETERS,
            text_layers=TEXT_LAYERS,
            image=value * IMAGE_ENCODER_PARAMETERS,
            vae=vae_bytes_per_value * VAE_PARAMETERS,
            speech=BYTES_PER_VALUE["float32"] * SPEECH_ENCODER_PARAMETERS,
        )
