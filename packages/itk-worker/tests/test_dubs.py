"""Dubs and cut speech: which sound people hear, which the model, where scenes begin."""

import numpy as np
import pytest
from attrs import evolve
from worker_fakes import clip, tone

from itk_media import LocalFile, open_video, read_speech
from itk_schema import Parameters
from itk_worker.cancel import JobStoppedError, StopSwitch
from itk_worker.dubs import lay_under, scenes_of, without_effect
from itk_worker.inputs import Inputs, UnusableInputError, hear


def local(path, content=None):
    """A file as it lies in a job's folder."""
    if content is not None:
        path.write_bytes(content)
    return LocalFile(path=path, bytes=path.stat().st_size, mime="application/octet-stream")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film of two scenes with a hum, and one without sound."""
    folder = tmp_path_factory.mktemp("films")
    clip(folder / "hum.mp4")
    clip(folder / "mute.mp4", sound=False, colours=(90,))
    return folder


@pytest.fixture
def speech(tmp_path):
    """One second of speech."""
    return local(tmp_path / "one.wav", tone(1.0))


def loudness(track, start, end):
    """How loud a part of a track is."""
    rate = track.sample_rate
    return float(np.sqrt(np.square(track.samples[int(start * rate) : int(end * rate)]).mean()))


def test_a_dubs_own_sound_is_dropped_kept_or_ducked(films, speech):
    """The model hears the speech alone, whatever people hear; the sound ends with the speech."""
    inputs = Inputs(picture=local(films / "hum.mp4"), speeches=(speech,))
    heard = hear(inputs, Parameters(), path="input")
    assert lay_under(heard, inputs, Parameters(), path="input") is heard
    kept = lay_under(heard, inputs, Parameters(source_audio="keep"), path="input")
    ducked = lay_under(heard, inputs, Parameters(source_audio="duck"), path="input")
    assert kept.speeches is heard.speeches
    assert kept.track.duration_seconds == pytest.approx(1.0, abs=0.01)
    assert loudness(heard.track, 0, 0.05) < 0.02
    assert loudness(kept.track, 0, 0.05) > 0.2
    assert loudness(ducked.track, 0.4, 0.6) < loudness(kept.track, 0.4, 0.6)
    assert kept.warnings == ()


def test_a_dub_without_sound_is_made_and_warned_of(films, speech):
    """The same holds for a picture."""
    inputs = Inputs(picture=local(films / "mute.mp4"), speeches=(speech,))
    heard = hear(inputs, Parameters(), path="input")
    told = lay_under(heard, inputs, Parameters(source_audio="keep"), path="input")
    assert told.track is heard.track
    assert told.warnings == ("source_audio keep has no effect: cond_video has no sound",)


def test_scenes_are_found_only_where_they_are_to_be_split(films, speech):
    """The moment is the film's own; a still and a film with one scene have none."""
    with open_video(films / "hum.mp4") as film:
        inputs = Inputs(picture=local(films / "hum.mp4"), speeches=(speech,))
        split = Parameters(split_scenes=True)
        check = StopSwitch().check
        assert scenes_of(film, inputs, Parameters(), check=check, path="input") == ()
        first, second = scenes_of(film, inputs, split, check=check, path="input")
        assert first.start_seconds == 0
        assert first.end_seconds == second.start_seconds == pytest.approx(1.0, abs=0.01)
        moving = Parameters(camera_motion="zoom_in")
        assert without_effect(film, moving) == (
            "camera_motion has no effect: cond_video is a video",
        )
    still = np.zeros((8, 8, 3), np.uint8)
    assert scenes_of(still, inputs, split, check=check, path="input") == ()
    assert without_effect(still, split) == ("split_scenes has no effect: cond_video is a picture",)


def test_a_search_for_scenes_ends_with_its_job(films, speech):
    """A cancelled job does not wait for the end of the film."""
    switch = StopSwitch()
    switch.stop("cancelled")
    inputs = Inputs(picture=local(films / "hum.mp4"), speeches=(speech,))
    with open_video(films / "hum.mp4") as film, pytest.raises(JobStoppedError):
        scenes_of(film, inputs, Parameters(split_scenes=True), check=switch.check, path="input")


def test_speech_is_cut_for_the_model_and_for_people(speech):
    """Both get the same part."""
    inputs = Inputs(picture=speech, speeches=(speech,))
    parameters = Parameters(speech_start_seconds=0.25, speech_end_seconds=0.75)
    heard = hear(inputs, parameters, path="input")
    whole = read_speech(speech.path)
    np.testing.assert_array_equal(heard.speeches[0].samples, whole.samples[4000:12000])
    assert heard.track.duration_seconds == 0.5
    assert not heard.laid_out


def test_a_part_that_the_speech_does_not_have_is_named_by_its_field(speech):
    """A beginning after the end is an error; an end after the end is a warning."""
    inputs = Inputs(picture=speech, speeches=(speech,))
    with pytest.raises(
        UnusableInputError, match=r"input\.speech_start_seconds: .* got 3, .*1\.00 s"
    ):
        hear(inputs, Parameters(speech_start_seconds=3), path="input")
    heard = hear(inputs, Parameters(speech_end_seconds=9), path="input")
    assert heard.warnings == ("speech_end_seconds is 9, and the speech ends at 1.00 s",)
    assert heard.track.duration_seconds == 1.0


def test_two_people_are_cut_where_both_are_heard_together(speech, tmp_path):
    """One after the other: the part from the middle of the first to the middle of the second."""
    other = local(tmp_path / "two.wav", tone(2.0))
    inputs = Inputs(picture=speech, speeches=(speech, other))
    after = Parameters(audio_type="add")
    whole = hear(inputs, after, path="input")
    assert [len(one.samples) for one in whole.speeches] == [16000, 32000]
    part = hear(inputs, evolve(after, speech_start_seconds=0.5, speech_end_seconds=2.0), path="in")
    assert part.laid_out
    assert [len(one.samples) for one in part.speeches] == [24000, 24000]
    assert not part.speeches[0].samples[8000:].any()
    assert not part.speeches[1].samples[:8000].any()
    assert part.track.duration_seconds == 1.5
    with pytest.raises(UnusableInputError, match=r"3\.00 s long"):
        hear(inputs, evolve(after, speech_start_seconds=2.8), path="input")
