"""The published 14B checkpoint fits the models of this package, tensor by tensor."""

from collections.abc import Callable
from math import prod

import pytest
from torch import nn

from itk_engine.conditioning import SpeechEncoder, TextEncoder, VisionEncoder
from itk_engine.model import DiT, DiTConfig
from itk_engine.vae import VAE
from itk_engine.weights import published_parameters, published_shapes, without_values
from itk_engine.weights.layout import is_adapters

# As published: the transformer is 16 394 878 784 of Wan 2.1 and 2 487 168 000 of InfiniteTalk.
PARTS: dict[str, tuple[Callable[[], nn.Module], str, int]] = {
    "transformer": (lambda: DiT(DiTConfig()), "", 18_882_046_784),
    "text_encoder": (TextEncoder, "", 5_680_910_336),
    "image_encoder": (VisionEncoder, "visual.", 632_076_800),
    "autoencoder": (VAE, "", 126_892_531),
    "speech_encoder": (SpeechEncoder, "", 94_371_712),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_published_tensor_has_its_place(part) -> None:
    """Names, shapes and the number of parameters agree; nothing is left over on either side."""
    build, prefix, total = PARTS[part]
    with without_values():
        model = build()
    ours = {prefix + name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert ours == published_shapes(part)
    assert published_parameters(part) == total


def test_the_adapter_is_what_infinitetalk_adds() -> None:
    """The parts that live in the InfiniteTalk file hold 2 487 168 000 parameters."""
    shapes = published_shapes("transformer")
    added = sum(prod(shape) for name, shape in shapes.items() if is_adapters(name))
    assert added == 2_487_168_000
