"""Each speaker has a part of the picture, given by halves, boxes or masks."""

import pytest
import torch

from itk_engine.conditioning import place, regions
from itk_engine.errors import InvalidRequestError


def test_halves_leave_a_border_that_is_nobodys() -> None:
    """Left is the first speaker's, right the second's, five hundredths at the edges neither's."""
    first, second, nobody = regions.halves((100, 200))
    assert first[50].nonzero().flatten()[[0, -1]].tolist() == [5, 94]
    assert second[50].nonzero().flatten()[[0, -1]].tolist() == [105, 194]
    assert torch.equal(first + second + nobody, torch.ones(100, 200))


def test_a_box_by_corners_is_x_right_and_y_down() -> None:
    """Columns 10 to 30 and rows 40 to 50, ends exclusive."""
    first, _, _ = regions.from_boxes([(10, 40, 30, 50), (0, 0, 5, 5)], (60, 80))
    assert first.sum() == 200
    assert first[40:50, 10:30].all()


def test_a_box_by_rows_is_the_published_pipelines() -> None:
    """Its first and third numbers are rows, and outside the frame it is empty."""
    first, second, nobody = regions.from_boxes(
        [(10, 40, 30, 50), (70, 0, 90, 5)], (60, 80), order="rows"
    )
    assert first[10:30, 40:50].all()
    assert not second.any()
    assert nobody.sum() == 60 * 80 - 200


def test_one_box_leaves_the_rest_to_a_silent_speaker() -> None:
    """Nobody else speaks: what lies outside the box hears silence."""
    first, second, nobody = regions.from_boxes([(10, 40, 30, 50)], (60, 80))
    assert torch.equal(second, 1 - first)
    assert not nobody.any()


@pytest.mark.parametrize("box", [(0, 0, 81, 10), (-1, 0, 5, 5), (5, 5, 5, 9), (9, 5, 5, 9)])
def test_a_box_outside_or_empty_is_refused(box) -> None:
    """The error names the box, the frame and what came."""
    with pytest.raises(InvalidRequestError, match=r"bbox\.person2.*0\.\.80"):
        regions.from_boxes([(0, 0, 5, 5), box], (60, 80))


def test_a_mask_must_have_the_frames_size() -> None:
    """A mask of another size would lie somewhere else than its maker thought."""
    with pytest.raises(InvalidRequestError, match=r"80x60.*40x30"):
        regions.from_masks([torch.full((30, 40), 255, dtype=torch.uint8)], (60, 80))
    with pytest.raises(InvalidRequestError, match="all dark"):
        regions.from_masks([torch.zeros(60, 80, dtype=torch.uint8)], (60, 80))


def test_masks_are_bright_where_the_speaker_is() -> None:
    """Grey above one half counts."""
    mask = torch.tensor([[0, 127, 128, 255]], dtype=torch.uint8)
    assert regions.from_masks([mask, 255 - mask], (1, 4))[0].tolist() == [[0, 0, 1, 1]]


def test_a_region_that_the_crop_removes_is_refused() -> None:
    """A box at the edge that the video does not show cannot speak."""
    size = (100, 400)
    maps = regions.from_boxes([(0, 0, 40, 100), (150, 0, 250, 100)], size)
    latents = regions.on_latents(maps, place(size, (96, 96)))
    assert latents.shape == (3, 12, 12)
    with pytest.raises(InvalidRequestError, match=r"bbox\.person1"):
        regions.require_visible(latents, speakers=2, given_as="bbox")
    assert latents[1].any()
