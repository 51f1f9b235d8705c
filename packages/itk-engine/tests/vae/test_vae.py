"""The video autoencoder keeps its promises about time, memory and gradients."""

import pytest
import torch

from itk_engine.vae import VAE, VAEConfig
from itk_engine.vae.layers import convolve_time, sum_of_taps


@pytest.fixture(scope="module")
def vae() -> VAE:
    """Give a small random autoencoder."""
    torch.manual_seed(0)
    return VAE(VAEConfig(base_width=4)).eval()


def video(frames: int) -> torch.Tensor:
    """Give a random video of 16 by 24 pixels."""
    return torch.rand(3, frames, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("latents_per_piece", [1, 2, 3])
def test_pieces_give_what_the_whole_sequence_gives(vae: VAE, latents_per_piece: int) -> None:
    """Cutting time into pieces bounds the memory and changes nothing."""
    with torch.inference_mode():
        whole = vae.encode(video(17), latents_per_piece=99)
        pieces = vae.encode(video(17), latents_per_piece=latents_per_piece)
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            vae.decode(whole, latents_per_piece=latents_per_piece),
            vae.decode(whole, latents_per_piece=99),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("frames", [1, 5, 21, 22, 41, 81])
def test_a_still_followed_by_grey_is_encoded_from_few_frames(vae: VAE, frames: int) -> None:
    """encode_still equals encode of the picture and zero frames."""
    full = torch.zeros(3, frames, 16, 24)
    full[:, :1] = video(1)
    with torch.inference_mode():
        expected = vae.encode(full)
        torch.testing.assert_close(
            vae.encode_still(video(1), frames), expected, rtol=1e-4, atol=1e-4
        )


def test_latents_see_only_the_past(vae: VAE) -> None:
    """A later frame never changes an earlier latent, nor a later latent an earlier frame."""
    changed = video(13)
    changed[:, 9:] = 0
    with torch.inference_mode():
        before, after = vae.encode(video(13)), vae.encode(changed)
        assert torch.equal(before[:, :3], after[:, :3])
        assert not torch.allclose(before[:, 3:], after[:, 3:])
        torch.testing.assert_close(
            vae.decode(before)[:, :9], vae.decode(before[:, :3]), rtol=1e-4, atol=1e-4
        )


def test_frames_that_fill_no_latent_are_ignored(vae: VAE) -> None:
    """A frame count that is not 4n+1 is cut to the next lower one that is."""
    with torch.inference_mode():
        torch.testing.assert_close(
            vae.encode(video(16)), vae.encode(video(16)[:, :13]), rtol=1e-4, atol=1e-4
        )


def test_gradients_reach_every_parameter_in_batches() -> None:
    """Training sees batches and differentiates both ways."""
    vae = VAE(VAEConfig(base_width=2))
    batch = torch.rand(2, 3, 9, 16, 16) * 2 - 1
    latents = vae.encode(batch)
    assert latents.shape == (2, 16, 3, 2, 2)
    torch.testing.assert_close(latents[1], vae.encode(batch[1]), rtol=1e-4, atol=1e-4)
    vae.decode(latents).square().mean().backward()
    used = {name for name, p in vae.named_parameters() if p.grad is not None}
    assert used == {name for name, _ in vae.named_parameters()}


def test_sides_that_do_not_divide_are_refused_by_name(vae: VAE) -> None:
    """The message says what was needed and what came."""
    with pytest.raises(ValueError, match="divide by 8, got 1 frames of 12x16"):
        vae.encode(torch.zeros(3, 1, 12, 16))


def test_statistics_must_fit_the_channels() -> None:
    """A configuration whose statistics have another length is refused at birth."""
    with pytest.raises(ValueError, match="latent_std needs 16 numbers, got 4"):
        VAEConfig(latent_std=(1.0,) * 4)


def test_three_flat_convolutions_are_one_over_time() -> None:
    """What a GPU sums in float32 is what one convolution over three frames gives."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 6, 4, 5, 7, generator=generator)
    weight = torch.randn(8, 4, 3, 3, 3, generator=generator)
    bias = torch.randn(8, generator=generator)
    whole = torch.nn.functional.conv3d(x.movedim(2, 1), weight, bias, padding=(0, 1, 1))
    with torch.inference_mode():
        summed = sum_of_taps(x, weight, bias)
    torch.testing.assert_close(summed, whole.movedim(1, 2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        convolve_time(x, weight, bias), whole.movedim(1, 2), rtol=1e-4, atol=1e-4
    )
