"""A still that moves moves smoothly; a picture that must change shape keeps its focus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itk_media import MovingStill, plan_fit

RAMP = np.broadcast_to(
    np.linspace(0, 255, 200).astype(np.uint8)[None, :, None], (120, 200, 3)
).copy()


@pytest.mark.parametrize(
    ("motion", "first", "later"),
    [
        ("zoom_in", (0, 0, 200, 120), (10, 6, 190, 114)),
        ("zoom_out", (10, 6, 190, 114), (0, 0, 200, 120)),
        ("pan_right", (0, 6, 180, 114), (20, 6, 200, 114)),
        ("pan_left", (20, 6, 200, 114), (0, 6, 180, 114)),
    ],
)
def test_the_view_goes_where_the_motion_says_and_comes_back(motion, first, later):
    """One way takes one sweep; two sweeps lead back to the beginning."""
    still = MovingStill(picture=RAMP, motion=motion, travel=0.1, sweep_seconds=4.0)
    assert still.window(0) == pytest.approx(first)
    assert still.window(100) == pytest.approx(later)
    assert still.window(200) == pytest.approx(first)


@pytest.mark.parametrize("motion", ["zoom_in", "zoom_out", "pan_left", "pan_right"])
def test_the_view_never_jumps_or_leaves_the_picture(motion):
    """Between two frames the view moves by a fraction of a pixel, for ten minutes."""
    still = MovingStill(picture=RAMP, motion=motion)
    views = np.array([still.window(k) for k in range(15000)])
    assert np.abs(np.diff(views, axis=0)).max() < 0.2
    assert views.min() >= -1e-9
    assert (views[:, 2] <= 200 + 1e-9).all()
    assert (views[:, 3] <= 120 + 1e-9).all()
    shapes = (views[:, 2] - views[:, 0]) / (views[:, 3] - views[:, 1])
    assert shapes == pytest.approx(200 / 120)


def test_motion_is_finer_than_a_pixel():
    """A slow pan changes the picture a little with every frame, and not in steps."""
    still = MovingStill(picture=RAMP, motion="pan_right", sweep_seconds=40.0)
    means = np.array([still.frame(k)[:, 50:150].mean() for k in range(480, 505)])
    steps = np.diff(means)
    assert (steps > 0).all()
    assert steps.max() < 0.2


def test_a_zoom_begins_with_the_whole_picture():
    """Frame 0 of zoom_in is the still itself."""
    still = MovingStill(picture=RAMP, motion="zoom_in")
    assert np.array_equal(still.frame(0), RAMP)
    assert still.frame(100).shape == RAMP.shape
    assert still.is_still is False


def test_nonsense_motions_are_refused():
    """The message says what is possible."""
    with pytest.raises(ValueError, match="travel"):
        MovingStill(picture=RAMP, motion="zoom_in", travel=0.9)
    with pytest.raises(ValueError, match="zoom or a pan"):
        MovingStill(picture=RAMP, motion="none")


def test_a_head_at_the_top_is_not_cut():
    """Cropping a tall portrait to a square around the focus keeps the head."""
    plan = plan_fit((300, 100), (640, 640), focus=(0.5, 0.1))
    assert (plan.left, plan.top, plan.width, plan.height) == (0, 0, 100, 100)
    middle = plan_fit((300, 100), (640, 640))
    assert middle.top == 100


def test_padding_keeps_everything():
    """A wide picture gets bars above and below, none of it is lost."""
    picture = np.full((100, 300, 3), 9, np.uint8)
    plan = plan_fit((100, 300), (640, 640), fit="pad")
    square = plan.apply(picture)
    assert square.shape == (300, 300, 3)
    assert (square[100:200] == 9).all()
    assert not square[:100].any()
    assert not square[200:].any()


def test_boxes_move_along_and_lost_ones_are_errors():
    """A face's box follows the crop; one that is cropped away is named."""
    plan = plan_fit((100, 300), (100, 100), focus=(1.0, 0.5))
    assert plan.left == 200
    assert plan.move_box((250, 10, 290, 60)) == (50, 10, 90, 60)
    assert plan.move_box((150, 10, 290, 60)) == (0, 10, 90, 60)
    with pytest.raises(ValueError, match=r"x 200 to 300"):
        plan.move_box((0, 0, 100, 100))


def test_bad_focus_and_sizes_are_refused():
    """Focus is a share of the picture."""
    with pytest.raises(ValueError, match=r"0\.\.1"):
        plan_fit((10, 10), (10, 10), focus=(2.0, 0.5))
    with pytest.raises(ValueError, match="positive"):
        plan_fit((0, 10), (10, 10))


@given(
    source=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    target=st.tuples(st.integers(16, 2000), st.integers(16, 2000)),
    focus=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    fit=st.sampled_from(["crop", "pad"]),
)
def test_every_fit_has_the_target_s_shape_to_a_pixel(source, target, focus, fit):
    """Crops stay inside, pads contain all, and the shape is right within rounding."""
    plan = plan_fit(source, target, focus=focus, fit=fit)
    height, width = source
    if fit == "crop":
        assert 0 <= plan.left <= plan.left + plan.width <= width
        assert 0 <= plan.top <= plan.top + plan.height <= height
        assert plan.width == width or plan.height == height
    else:
        assert plan.left <= 0 <= width <= plan.left + plan.width
        assert plan.top <= 0 <= height <= plan.top + plan.height
    wanted = plan.height * target[1] / target[0]
    slack = 0.51 + 0.51 * target[1] / target[0]
    assert plan.width == 1 or plan.height == 1 or abs(plan.width - wanted) <= slack
