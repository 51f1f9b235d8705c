"""The small model that ships really talks."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from measure import HERE, checkpoint_files, digest, measure

from itk_tiny import checkpoint_folder

STORED = json.loads((HERE / "facts.json").read_text())


@cache
def fresh() -> dict[str, Any]:
    """All measures, on fewer faces than the stored ones, with the same voices."""
    return measure(checkpoint_files(checkpoint_folder()), faces=4, voices=5)


def stored_and_fresh() -> list[Any]:
    """The measures that were stored with the checkpoint, and fresh ones in the long suite."""
    marks = [pytest.mark.long, pytest.mark.timeout(3600)]
    return [
        pytest.param(lambda: STORED, id="stored"),
        pytest.param(fresh, id="fresh", marks=marks),
    ]


FACTS = pytest.mark.parametrize("facts", stored_and_fresh())


def test_the_stored_measures_are_those_of_this_checkpoint() -> None:
    """They were taken on 20 faces times 5 voices, with the very files that ship."""
    assert STORED["checkpoint"] == digest(checkpoint_folder())
    assert STORED["talking"]["count"] >= 100
    assert STORED["streaming"]["seconds"] >= 59


@FACTS
def test_mouths_follow_the_speech(facts: Any) -> None:
    """The mouth of an unseen face follows an unseen voice at once, and not another one."""
    talking = facts()["talking"]
    assert talking["median"] >= 0.93
    assert talking["tenth"] >= 0.88
    assert talking["lag_beyond_one"] == 0
    assert talking["shuffled"] <= 0.15


@FACTS
def test_the_autoencoder_keeps_faces(facts: Any) -> None:
    """Unseen faces survive encoding and decoding over a whole chunk, eyes and brows too."""
    codec = facts()["autoencoder"]
    assert codec["median_db"] >= 30
    assert codec["first_minus_last_db"] <= 1
    assert codec["eye_contrast"] >= 0.70


@FACTS
def test_silence_shuts_the_mouth(facts: Any) -> None:
    """In silence and in faint noise the mouth stays shut."""
    quiet = facts()["quiet"]
    assert quiet["speech"] > 0.2
    assert quiet["silence"] <= 0.1 * quiet["speech"]
    assert quiet["faint_noise"] <= 0.1 * quiet["speech"]


@FACTS
def test_two_people_speak_for_themselves(facts: Any) -> None:
    """With two tracks each mouth follows its own and not the other's."""
    couples = facts()["couples"]
    assert couples["own_median"] >= 0.85
    assert couples["other_median"] <= 0.25 + max(0.0, couples["between_tracks"])


@FACTS
def test_a_long_stream_does_not_drift(facts: Any) -> None:
    """Colours stay where they were, and no chunk joins with a larger step than frames have."""
    stream = facts()["streaming"]
    assert stream["background"] <= 2
    assert stream["face"] <= 4
    for at_join, between in zip(stream["join_largest"], stream["ordinary_largest"], strict=True):
        assert at_join <= between


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_it_is_fast_enough_for_a_laptop() -> None:
    """3.2 s of video take at most 20 s and 3 GB."""
    speed = fresh()["speed"]
    assert speed["seconds"] <= 20
    assert speed["megabytes"] <= 3000
