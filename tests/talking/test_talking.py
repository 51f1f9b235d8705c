"""The small model that ships really talks."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from measure import checkpoint_files, measure

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@cache
def facts() -> dict[str, Any]:
    """All measures, on fewer faces and voices than the model card's."""
    tiny = pytest.importorskip("itk_tiny", reason="the small model is not trained yet")
    return measure(checkpoint_files(tiny.checkpoint_folder()), faces=4, voices=2)


def test_mouths_follow_the_speech() -> None:
    """The mouth of an unseen face follows an unseen voice at once, and not another one."""
    talking = facts()["talking"]
    assert talking["median"] >= 0.93
    assert talking["tenth"] >= 0.88
    assert talking["lag_beyond_one"] == 0
    assert talking["shuffled"] <= 0.15


def test_the_autoencoder_keeps_faces() -> None:
    """Unseen faces survive encoding and decoding over a whole chunk, eyes and brows too."""
    codec = facts()["autoencoder"]
    assert codec["median_db"] >= 30
    assert codec["first_minus_last_db"] <= 1
    assert codec["eye_contrast"] >= 0.70


def test_silence_shuts_the_mouth() -> None:
    """In silence and in faint noise the mouth stays shut."""
    quiet = facts()["quiet"]
    assert quiet["silence"] <= 0.1 * quiet["speech"]
    assert quiet["faint_noise"] <= 0.1 * quiet["speech"]


def test_two_people_speak_for_themselves() -> None:
    """With two tracks each mouth follows its own and not the other's."""
    couples = facts()["couples"]
    assert couples["own_median"] >= 0.85
    assert couples["other_median"] <= 0.25 + max(0.0, couples["between_tracks"])


def test_a_long_stream_does_not_drift() -> None:
    """Colours stay where they were, and chunks join without a jump."""
    stream = facts()["streaming"]
    assert stream["background"] <= 2
    assert stream["face"] <= 4
    assert stream["join_largest"] <= stream["ordinary_largest"]


def test_it_is_fast_enough_for_a_laptop() -> None:
    """3.2 s of video take at most 20 s and 3 GB."""
    speed = facts()["speed"]
    assert speed["seconds"] <= 20
    assert speed["megabytes"] <= 3000
