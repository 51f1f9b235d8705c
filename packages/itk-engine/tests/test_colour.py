"""Frames take the colours of the reference, all of them or in part."""

import numpy as np
import pytest
import torch

from itk_engine.colour import match_colours


def random_video(frames: int, seed: int = 0) -> torch.Tensor:
    """Give smooth-less random frames in [-1, 1]."""
    return torch.rand(3, frames, 12, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def lab_statistics(video: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and deviation of L, a, b of each frame, by an independent library."""
    from skimage.color import rgb2lab

    lab = rgb2lab(((video.permute(1, 2, 3, 0) + 1) / 2).double().numpy())
    return lab.mean((1, 2)), lab.std((1, 2))


def test_matched_frames_have_the_references_statistics() -> None:
    """Mean and deviation of L, a and b become the reference's where nothing is clipped."""
    video = random_video(9) * 0.3
    reference = random_video(1, seed=1) * 0.4 + 0.1
    mean, std = lab_statistics(match_colours(video, reference, 1.0))
    wanted_mean, wanted_std = lab_statistics(reference)
    np.testing.assert_allclose(mean, np.repeat(wanted_mean, 9, 0), atol=0.3)
    np.testing.assert_allclose(std, np.repeat(wanted_std, 9, 0), atol=0.3)


def test_a_frame_matches_itself() -> None:
    """The reference's own frame is not changed."""
    video = random_video(1)
    torch.testing.assert_close(match_colours(video, video, 1.0), video, rtol=0, atol=2e-4)


def test_strength_blends() -> None:
    """Zero returns the video itself; between zero and one lies a mixture."""
    video, reference = random_video(2), random_video(1, seed=1) * 0.2
    assert match_colours(video, reference, 0) is video
    full, half = (match_colours(video, reference, strength) for strength in (1.0, 0.5))
    torch.testing.assert_close(half, (video + full) / 2, rtol=0, atol=1e-5)


def test_a_flat_frame_becomes_the_references_mean() -> None:
    """No variation in, none out, and no division by zero."""
    flat = torch.full((3, 1, 12, 16), 0.25)
    matched = match_colours(flat, random_video(1), 1.0)
    assert torch.isfinite(matched).all()
    assert matched.flatten(2).std(-1).max() < 1e-5


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_strengths_outside_zero_to_one_are_refused(strength: float) -> None:
    """The message says the range and what came."""
    with pytest.raises(ValueError, match=f"between 0 and 1, got {strength}"):
        match_colours(random_video(1), random_video(1), strength)
