"""What the tests of checkpoints share."""

import attrs
import pytest

from itk_engine.tiny import TINY_SIZES, TinySizes


@pytest.fixture(scope="session")
def smallest() -> TinySizes:
    """Give sizes at which a checkpoint is written and read in a moment."""
    return attrs.evolve(
        TINY_SIZES,
        dit=attrs.evolve(TINY_SIZES.dit, dim=24, ffn_dim=16, num_heads=2, num_layers=1, freq_dim=8),
        vae=attrs.evolve(TINY_SIZES.vae, base_width=2),
    )
