"""Still and moving pictures, cuts, and how they are framed."""

import numpy as np
import pytest
import torch
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from itk_engine.framing import Framing
from itk_engine.request import MovingPicture, StillPicture, bounced
from itk_schema import Parameters


@frozen(kw_only=True, eq=False)
class Film:
    """A video in memory, at its own frame rate, with the face of `itk_media.VideoFrames`."""

    pictures: np.ndarray
    rate: float

    @property
    def duration_seconds(self) -> float:
        """How long it is."""
        return len(self.pictures) / self.rate

    def frame_at(self, seconds: float) -> np.ndarray:
        """What is on screen; the last picture past the end."""
        return self.pictures[min(int(seconds * self.rate + 1e-6), len(self.pictures) - 1)]


def numbered(count: int) -> np.ndarray:
    """Pictures whose every pixel is their number."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 20, 20, 3)
    )


@pytest.mark.parametrize(
    ("rate", "seen"), [(25.0, [0, 1, 2, 24]), (50.0, [0, 2, 4, 48]), (12.5, [0, 0, 1, 12])]
)
def test_a_dub_stays_in_step_whatever_its_rate(rate: float, seen: list[int]) -> None:
    """Frame 24 of the video shows what the source shows after 0.96 s."""
    dub = MovingPicture(video=Film(pictures=numbered(100), rate=rate))
    assert [int(dub.frame(index)[0, 0, 0]) for index in (0, 1, 2, 24)] == seen


def test_a_dub_that_ends_too_soon_holds_or_bounces() -> None:
    """Ten frames hold their last one, or run back and forth without repeating an end."""
    film = Film(pictures=numbered(10), rate=25.0)
    hold = MovingPicture(video=film)
    bounce = MovingPicture(video=film, end="bounce")
    frames = range(8, 22)
    assert [int(hold.frame(i)[0, 0, 0]) for i in frames] == [8, *[9] * 13]
    expected = [8, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3]
    assert [int(bounce.frame(i)[0, 0, 0]) for i in frames] == expected


@given(seconds=st.floats(0, 1e4), duration=st.floats(0, 100))
def test_a_bounce_never_leaves_the_video(seconds: float, duration: float) -> None:
    """Whatever the moment, it lies between the first and the last frame."""
    assert 0 <= bounced(seconds, duration) <= duration


def test_a_cut_falls_on_the_first_frame_of_its_scene() -> None:
    """Between two frames of the video, the later one begins the scene."""
    film = Film(pictures=numbered(100), rate=30.0)
    scenes = ((0.0, 0.4), (0.4, 1.0), (1.0, 2.01), (2.01, 100 / 30))
    dub = MovingPicture(video=film, scenes_seconds=scenes)
    assert dub.cuts_within(80) == (10, 25, 51)
    assert dub.cuts_within(25) == (10,)


def test_a_film_that_bounces_meets_its_cuts_from_both_sides() -> None:
    """Backwards over a cut another scene begins as well, and a turn is no cut."""
    film = Film(pictures=numbered(20), rate=25.0)
    dub = MovingPicture(video=film, end="bounce", scenes_seconds=((0.0, 0.32), (0.32, 0.8)))
    shown = [int(dub.frame(index)[0, 0, 0]) >= 8 for index in range(90)]
    changes = tuple(index for index in range(1, 90) if shown[index] != shown[index - 1])
    assert dub.cuts_within(90) == changes == (8, 31, 46, 69, 84)


@pytest.mark.parametrize("end", ["hold", "bounce"])
def test_a_scene_too_short_is_passed_over_and_nothing_slips(*, end: str) -> None:
    """Its neighbour's frame stands in for it; the scenes around it keep their own moments."""
    film = Film(pictures=numbered(60), rate=25.0)
    scenes = ((0.2, 1.0), (1.4, 2.0))  # frames 0 to 4, 25 to 34 and 50 to 59 belong to none
    dub = MovingPicture(video=film, end=end, scenes_seconds=scenes)
    assert dub.cuts_within(60) == (35,)
    shown = [int(dub.frame(index)[0, 0, 0]) for index in range(60)]
    assert shown[:7] == [5, 5, 5, 5, 5, 5, 6]
    assert shown[23:37] == [23, *[24] * 11, 35, 36]
    assert shown[48:] == [48, *[49] * 11]
    if end == "hold":
        assert int(dub.frame(500)[0, 0, 0]) == 49


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (64, 64)),
        ({"output_size": "source"}, (60, 60)),
        ({"size": "infinitetalk-720"}, (96, 96)),
    ],
)
def test_the_video_has_the_size_that_was_asked(
    changes: dict[str, str], size: tuple[int, int]
) -> None:
    """By default the bucket's; or the source's, as far as the crop shows it, in even numbers."""
    picture = StillPicture(pixels=np.zeros((67, 60, 3), np.uint8))
    framing = Framing.of(picture, Parameters(**changes), scale=0.1)
    assert framing.delivered == size
    delivered = framing.deliver(torch.zeros(3, 2, *framing.canvas))
    assert delivered.shape == (2, *size, 3)
    assert set(np.unique(delivered)) == {127}


def test_bars_are_not_delivered_in_the_size_of_the_source() -> None:
    """What `pad` added is cut off again."""
    picture = StillPicture(pixels=np.full((30, 60, 3), 200, np.uint8))
    parameters = Parameters(fit="pad", output_size="source")
    framing = Framing.of(picture, parameters, scale=0.1)
    shown = framing.picture(0)
    assert framing.delivered == (30, 60)
    assert framing.deliver(shown).min() >= 198
    assert shown.min() == -1 or framing.placement.top == framing.placement.left == 0


def test_a_still_picture_is_one_tensor() -> None:
    """So that it is encoded once; with a camera every frame is its own."""
    picture = StillPicture(pixels=np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    still = Framing.of(picture, Parameters(), scale=0.1)
    assert still.picture(0) is still.picture(72)
    moving = Framing.of(picture, Parameters(camera_motion="zoom_in"), scale=0.1)
    assert not torch.equal(moving.picture(0), moving.picture(72))
