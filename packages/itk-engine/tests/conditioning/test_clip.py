"""A picture becomes 257 tokens, from all blocks but the last."""

import torch

from itk_engine.conditioning import VisionConfig, VisionEncoder

SMALL = VisionConfig(image_size=28, dim=16, out_dim=4, num_heads=2, num_layers=3)


def test_the_published_sizes_give_257_tokens() -> None:
    """One token for each patch of 14 x 14 pixels, one for the whole."""
    assert VisionConfig().tokens == 257


def test_any_picture_is_seen_as_a_square() -> None:
    """The aspect is not kept, and a frame of a video counts as a picture."""
    torch.manual_seed(0)
    encoder = VisionEncoder(SMALL)
    assert encoder.encode(torch.rand(1, 3, 1, 40, 20) * 2 - 1).shape == (1, 5, 16)


def test_the_last_block_is_not_used() -> None:
    """The video model was trained on what the last block would receive."""
    torch.manual_seed(0)
    encoder = VisionEncoder(SMALL)
    encoder.encode(torch.rand(1, 3, 1, 28, 28)).square().mean().backward()
    unused = {name for name, p in encoder.named_parameters() if p.grad is None}
    assert {name.split(".")[0] for name in unused} == {"transformer", "post_norm", "head"}
    assert all(name.startswith("transformer.2.") for name in unused if "transformer" in name)
