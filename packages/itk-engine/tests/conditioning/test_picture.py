"""Pictures come to the size of their bucket, pixel for pixel as published."""

import numpy as np
import pytest
import torch

from itk_engine.conditioning import (
    BUCKETS,
    bucket_for,
    normalise,
    place,
    resize_and_crop,
    resize_masks,
)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1080, 1920, (448, 896)), (640, 640, (640, 640)), (10, 9000, (320, 1216))],
)
def test_the_nearest_ratio_wins(height: int, width: int, expected: tuple[int, int]) -> None:
    """A picture goes to the bucket whose key is nearest to height / width."""
    assert bucket_for(height, width, "infinitetalk-480") == expected


def test_of_two_equally_near_the_earlier_key_wins() -> None:
    """The order of the table decides ties."""
    table = {"1.50": (48, 32), "0.50": (32, 64)}
    assert bucket_for(100, 100, table) == (48, 32)


@pytest.mark.parametrize("size", BUCKETS)
def test_scaled_buckets_divide_by_sixteen(size: str) -> None:
    """A small model works at scaled sizes that its patches still divide."""
    for key in BUCKETS[size]:
        ratio = float(key)
        sides = bucket_for(round(1000 * ratio), 1000, size, scale=0.2)
        assert all(side % 16 == 0 and side >= 16 for side in sides)
    assert bucket_for(100, 100, "infinitetalk-480", scale=0.2) == (128, 128)


def test_a_crop_keeps_the_middle_or_the_focus() -> None:
    """What sticks out is cut on both sides, or away from the focus."""
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :40] = 255
    assert resize_and_crop(picture, (40, 40))[0].float().mean() == pytest.approx(127.5)
    assert resize_and_crop(picture, (40, 40), focus=(0.0, 0.5)).float().mean() == 255
    assert resize_and_crop(picture, (40, 40), focus=(1.0, 0.5)).float().mean() == 0


def test_padding_shows_everything_inside_a_black_border() -> None:
    """The whole picture stays in view, whatever its shape."""
    padded = resize_and_crop(np.full((40, 80, 3), 200, np.uint8), (64, 64), fit="pad")
    assert padded.shape == (3, 64, 64)
    assert (padded[:, 16:48] == 200).all()
    assert padded[:, :16].max() == padded[:, 48:].max() == 0


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("source", [(1, 1), (7, 900), (900, 7), (333, 777)])
def test_any_shape_fills_the_canvas(source: tuple[int, int], fit) -> None:
    """Rounding never leaves a row too few, in pictures and in masks alike."""
    assert resize_and_crop(np.zeros((*source, 3), np.uint8), (48, 80), fit=fit).shape[1:] == (
        48,
        80,
    )
    placement = place(source, (48, 80), fit=fit)
    assert resize_masks(torch.ones(3, *source), placement).shape == (3, 48, 80)


def test_normalised_pictures_span_minus_one_to_one() -> None:
    """0 becomes -1 and 255 becomes 1."""
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
