"""Who is heard when, and how long the video is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itk_engine.engine import Engine
from itk_engine.errors import InvalidRequestError
from itk_engine.request import GenerationRequest
from itk_media import Waveform

MakeRequest = Callable[..., GenerationRequest]


def noise(samples: int) -> Waveform:
    """Return a speech of so many samples."""
    drawn = np.random.default_rng(samples).normal(0, 0.1, samples)
    return Waveform(samples=drawn.astype(np.float32), sample_rate=16000)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.integers(6400, 40_000), other=st.none() | st.integers(6400, 40_000))
def test_the_video_is_as_long_as_the_speech_within_a_frame(
    engine: Engine, request_of: MakeRequest, samples: int, other: int | None
) -> None:
    """Whatever the number of samples, of one speaker or of the longer of two."""
    lengths = [samples] if other is None else [samples, other]
    prepared = engine.prepare(request_of(speeches=tuple(noise(length) for length in lengths)))
    seconds = max(lengths) / 16000
    assert seconds - 1 / 25 < prepared.frames / 25 <= seconds
    assert {len(features) for features in prepared.scene.speeches} == {prepared.frames}
    assert sum(chunk.kept for chunk in prepared.scene.chunks) == prepared.frames


def test_a_speech_that_is_not_finite_is_named(engine: Engine, request_of: MakeRequest) -> None:
    """Before it makes every latent NaN, for which the weights would be blamed."""
    samples = noise(9600).samples.copy()
    samples[500] = np.nan
    broken = Waveform(samples=samples, sample_rate=16000)
    with pytest.raises(InvalidRequestError, match=r"speeches\[1\]: needed finite samples, got NaN"):
        engine.prepare(request_of(speeches=(noise(9600), broken)))


def test_beside_one_speaker_in_a_box_there_is_silence(
    engine: Engine, request_of: MakeRequest, models: Any
) -> None:
    """The second, silent, speaker hears exactly what nobody's speech gives."""
    request = request_of(seconds=0.6, boxes=((0, 0, 30, 40),))
    speaks, silent = engine.prepare(request).scene.speeches
    nothing = models.speech.embed(np.zeros(9600, np.float32))
    assert torch.equal(silent, nothing)
    assert not torch.allclose(speaks, nothing, atol=0.1)


def test_a_speaker_without_a_word_stays_silent(
    engine: Engine, request_of: MakeRequest, models: Any
) -> None:
    """Making all speech equally loud does not raise silence."""
    mute = Waveform(samples=np.zeros(9600, np.float32), sample_rate=16000)
    prepared = engine.prepare(request_of(speeches=(noise(9600), mute)))
    assert torch.equal(prepared.scene.speeches[1], models.speech.embed(mute.samples))


@pytest.mark.parametrize(
    ("order", "first_begins"),
    [(("person1", "person2"), True), (("person2", "person1"), False)],
)
def test_in_turn_one_is_silent_while_the_other_speaks(
    engine: Engine, request_of: MakeRequest, order: tuple[str, str], *, first_begins: bool
) -> None:
    """`add` with either order: the energy of a speaker's features lies in the speaker's turn."""
    request = request_of(
        speeches=(noise(16000), noise(16000)), audio_type="add", speaker_order=order
    )
    prepared = engine.prepare(request)
    assert prepared.frames == 50
    assert prepared.mixed_speech is not None
    for place, features in enumerate(prepared.scene.speeches):
        moved = features.diff(dim=0).square().mean((1, 2))
        early, late = float(moved[:22].mean()), float(moved[28:].mean())
        assert (early > 3 * late) == (first_begins == (place == 0))


def test_a_shorter_speech_is_followed_by_silence(engine: Engine, request_of: MakeRequest) -> None:
    """In `para` the video is as long as the longer; the sum is what both say."""
    long, short = noise(24000), noise(8000)
    prepared = engine.prepare(request_of(speeches=(long, short), speech_loudness="keep"))
    assert prepared.frames == 37
    assert prepared.mixed_speech is not None
    np.testing.assert_array_equal(prepared.mixed_speech.samples[8000:], long.samples[8000:])
    moved = prepared.scene.speeches[1].diff(dim=0).square().mean((1, 2))
    assert float(moved[:10].mean()) > 3 * float(moved[16:].mean())
