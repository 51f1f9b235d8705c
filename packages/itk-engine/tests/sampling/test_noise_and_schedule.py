"""Noise from a seed, and the times of the steps."""

import os
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itk_engine.sampling import RecordedNoise, SeededNoise, euler_step, timesteps

CPU = torch.device("cpu")


def test_a_seed_is_a_noise() -> None:
    """The same seed draws the same numbers, another seed others, and draws go on."""
    first, again, other = SeededNoise(7, CPU), SeededNoise(7, CPU), SeededNoise(8, CPU)
    draw = first.draw((4, 4))
    torch.testing.assert_close(draw, again.draw((4, 4)), rtol=0, atol=0)
    assert not torch.equal(draw, other.draw((4, 4)))
    assert not torch.equal(draw, first.draw((4, 4)))


def test_drawing_leaves_the_process_generator_alone() -> None:
    """A generation does not disturb whoever else draws numbers."""
    before = torch.get_rng_state()
    SeededNoise(7, CPU).draw((10,))
    assert torch.equal(torch.get_rng_state(), before)


def test_recorded_noise_comes_back_in_order() -> None:
    """The first draw is the first recorded."""
    noise = RecordedNoise([torch.zeros(2), torch.ones(3)])
    assert noise.draw((2,)).sum() == 0
    assert noise.draw((3,)).sum() == 3


@pytest.mark.gpu
def test_on_cuda_the_numbers_are_those_of_the_seeded_default_generator() -> None:
    """The reference seeds CUDA's generator and calls randn; so do we, without touching it."""
    if not torch.cuda.is_available():
        assert os.environ.get("ITK_EXPECT_GPU") != "1", "a GPU was promised"
        pytest.skip("no CUDA device")
    device = torch.device("cuda")
    torch.cuda.manual_seed(42)
    expected = [torch.randn(16, 21, 8, 8, device=device), torch.randn(16, 3, 8, 8, device=device)]
    noise = SeededNoise(42, device)
    for draw in expected:
        assert torch.equal(noise.draw(tuple(draw.shape)), draw)


@given(steps=st.integers(1, 100), shift=st.floats(0.1, 20))
def test_times_fall_from_1000_to_0(steps: int, shift: float) -> None:
    """There is one time more than steps, and each is smaller than the one before."""
    times = timesteps(steps, shift=shift).tolist()
    assert len(times) == steps + 1
    assert times[0] == pytest.approx(1000)
    assert times[-1] == 0
    assert all(now > then for now, then in pairwise(times))


def test_the_whole_way_along_a_constant_velocity_is_the_velocity() -> None:
    """From time 1000 to time 0 the latent moves by minus its velocity."""
    latent, velocity = torch.ones(3), torch.tensor([1.0, 2.0, 3.0])
    moved = euler_step(euler_step(latent, velocity, now=1000, then=400), velocity, now=400, then=0)
    torch.testing.assert_close(moved, latent - velocity)
