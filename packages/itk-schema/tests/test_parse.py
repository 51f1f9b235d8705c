"""Jobs are read whole, and everything wrong with them is said at once."""

import pickle
from typing import Any

import pytest

import itk_schema
from itk_schema import Batch, InvalidJobError, JobInput, Policy, SpeakerBoxes

JOB: dict[str, Any] = {
    "prompt": "A woman sings",
    "cond_video": "https://example.com/a.jpg",
    "cond_audio": {"person1": "https://example.com/a.wav"},
}
TWO = {**JOB, "cond_audio": {"person1": "/a.wav", "person2": "/b.wav"}}


def problems(raw: Any, *, parse: Any = itk_schema.parse_input) -> list[str]:
    """Return the problems that a parser finds, as sentences."""
    with pytest.raises(InvalidJobError) as caught:
        parse(raw)
    return [str(problem) for problem in caught.value.problems]


def single(raw: Any) -> JobInput:
    """Return the one job of an input."""
    job = itk_schema.parse_input(raw)
    assert isinstance(job, JobInput)
    return job


def test_the_designs_first_example_is_accepted() -> None:
    """One speaker, a picture, eight steps, stored in S3."""
    job = single(
        {
            **JOB,
            "size": "infinitetalk-480",
            "mode": "clip",
            "frame_num": 81,
            "sample_steps": 8,
            "sample_text_guide_scale": 1.0,
            "sample_audio_guide_scale": 2.0,
            "motion_frame": 9,
            "base_seed": 42,
            "use_teacache": False,
            "use_apg": False,
            "color_correction_strength": 1.0,
            "output_config": {"store": "s3", "prefix": "infinitetalk/jobs"},
        }
    )
    assert job.sample_steps == 8
    assert job.output_config is not None
    assert job.output_config.prefix == "infinitetalk/jobs"


def test_the_designs_second_example_is_accepted() -> None:
    """Two speakers, a video, parallel speech, streaming."""
    job = single(
        {
            "prompt": "Two people speaking in a newsroom",
            "cond_video": "https://example.com/input.mp4",
            "cond_audio": {
                "person1": "data:audio/wav;base64,AAAA",
                "person2": "/runpod-volume/incoming/s2.wav",
            },
            "audio_type": "para",
            "size": "infinitetalk-720",
            "mode": "streaming",
            "max_frame_num": 1000,
            "motion_frame": 11,
            "use_teacache": True,
            "teacache_thresh": 0.2,
            "use_apg": True,
            "apg_norm_threshold": 55,
            "num_persistent_param_in_dit": 0,
            "output_config": {"store": "s3", "prefix": "infinitetalk/stream"},
        }
    )
    assert job.speakers == 2
    (warning,) = itk_schema.input_warnings(job)
    assert "motion_frame 11" in warning


def test_features_that_come_later_are_valid_now() -> None:
    """Every extension of the contract is understood by the parser."""
    job = single(
        {
            **TWO,
            "preset": "fast-4",
            "negative_prompt": "blurred",
            "masks": {"person1": "/m1.png", "person2": "/m2.png"},
            "audio_type": "add",
            "speaker_order": ["person2", "person1"],
            "video_end": "bounce",
            "split_scenes": True,
            "camera_motion": "pan_left",
            "fit": "crop",
            "focus": [0.5, 0.2],
            "speech_start_seconds": 1,
            "speech_end_seconds": 2.5,
            "source_audio": "duck",
            "output_size": "source",
            "request_id": "mine-1",
            "schema_version": 1,
            "deadline_seconds": 1800,
            "quant": "fp8",
            "loras": ["fusionx"],
            "output_config": {"playlist": True, "store": "volume"},
        }
    )
    assert job.speaker_order == ("person2", "person1")
    assert job.focus == (0.5, 0.2)


def test_everything_wrong_is_said_at_once() -> None:
    """Unknown names, wrong values, missing fields and contradictions come together."""
    found = problems(
        {
            "prompt": " ",
            "cond_vidio": "https://example.com/a.jpg",
            "cond_audio": {"person1": "https://example.com/a.wav"},
            "seed": 1,
            "frame_num": 80,
            "size": "480",
            "audio_type": "para",
            "bbox": [4, 1, 2, 3],
        }
    )
    assert found == [
        (
            "input.cond_vidio: needs to be absent, for there is no such field, got text of "
            "25 characters (did you mean cond_video?)"
        ),
        (
            "input.seed: needs to be absent, for there is no such field, got 1 "
            "(did you mean base_seed?)"
        ),
        "input.prompt: needs text that is not blank, of at most 5000 characters, got ' '",
        (
            "input.cond_video: needs a data: URI, an http(s) URL, base64, or an absolute path on "
            "the volume, got nothing (The picture that will speak: a portrait or a dub.)"
        ),
        "input.size: needs one of infinitetalk-480, infinitetalk-720, got '480'",
        (
            "input.frame_num: needs a whole number of the form 4n+1 from 5 to 401, got 80 "
            "(the nearest is 81)"
        ),
        "input.audio_type: needs two speakers, got one",
        (
            "input.bbox: needs x0 < x1 and y0 < y1, got [4, 1, 2, 3] (the upper left corner comes "
            "first, then the lower right)"
        ),
    ]


def test_null_is_not_said() -> None:
    """A null in an optional field is as if the field were absent."""
    assert single({**JOB, "sample_steps": None, "bbox": None, "tts_audio": None}) == single(JOB)
    assert problems({**JOB, "prompt": None})[0].startswith("input.prompt: needs text")


def test_whole_numbers_may_have_a_point() -> None:
    """8.0 is an integer in JSON Schema, and a whole number is fine where any number is."""
    job = single({**JOB, "sample_steps": 8.0, "sample_shift": 7})
    assert (job.sample_steps, type(job.sample_steps)) == (8, int)
    assert (job.sample_shift, type(job.sample_shift)) == (7.0, float)


def test_a_jpeg_in_base64_is_not_taken_for_a_wrong_path() -> None:
    """A JPEG's base64 begins with a slash and is accepted, as are lines of base64."""
    assert single({**JOB, "cond_video": "/9j/4AAQSkZJRg=="}).cond_video
    assert single({**JOB, "cond_video": "iVBORw0K\nGgoAAAAN\n"}).cond_video


def test_files_and_secrets_are_not_echoed() -> None:
    """Neither a data: URI nor a signature nor a password comes back in a message."""
    text = "\n".join(
        problems(
            {
                **JOB,
                "cond_video": "https://bob:hunter2@example.com/a?X-Amz-Signature=abc",
                "extra": "hunter2",
                "preset": "data:audio/wav;base64," + "A" * 1000,
                "output_config": {"put_url": "ftp://example.com/?sig=abc"},
            }
        )
    )
    assert "hunter2" not in text
    assert "abc" not in text
    assert "AAAA" not in text
    assert "a data: URI of 1022 characters" in text


def test_a_batch_names_the_item() -> None:
    """Problems of items carry the item's index."""
    items = [JOB, {**JOB, "id": "b"}, {**JOB, "cond_audio": {"person1": 3}, "size": 1}]
    found = problems({"batch": items})
    assert [text.partition(": ")[0] for text in found] == [
        "input.batch[2].cond_audio.person1",
        "input.batch[2].size",
    ]


def test_items_have_ids_of_their_own() -> None:
    """Two items with one id are a problem, also when the id is the one an item gets by itself."""
    twice = problems({"batch": [{**JOB, "id": "a"}, {**JOB, "id": "a", "size": 1}]})
    assert (
        twice[1] == "input.batch[1].id: needs an id of its own, got 'a', which is batch[0] already"
    )
    assert "batch[1].id" in problems({"batch": [{**JOB, "id": "item-1"}, JOB]})[0]


def test_items_inherit_what_the_batch_says() -> None:
    """An item without an output_config has the batch's, and every item has an id."""
    batch = itk_schema.parse_input(
        {
            "batch": [JOB, {**JOB, "id": "b", "output_config": {"store": "inline"}}],
            "output_config": {"store": "s3", "prefix": "mine"},
        }
    )
    assert isinstance(batch, Batch)
    first, second = batch.item(0), batch.item(1)
    assert (first.id, second.id) == ("item-0", "b")
    assert first.output_config == batch.output_config
    assert second.output_config is not None
    assert second.output_config.store == "inline"


def test_one_put_url_takes_one_video() -> None:
    """A batch whose items would overwrite each other is refused."""
    shared = {"batch": [JOB, JOB], "output_config": {"put_url": "https://example.com/put"}}
    assert "needs to take one video, got 2 items that share it" in problems(shared)[0]
    assert itk_schema.parse_input({**shared, "batch": [JOB]})


@pytest.mark.parametrize("batch", [[], [1], {}, "x", [JOB] * 257, None])
def test_a_batch_is_a_list_of_jobs(batch: Any) -> None:
    """An empty, huge or malformed batch is a problem and not a crash."""
    assert problems({"batch": batch})[0].startswith("input.batch")


def test_the_problems_of_a_hostile_job_are_bounded() -> None:
    """A million unknown fields cost little and are reported as many, not all."""
    found = problems({f"x{n}": n for n in range(100_000)})
    assert len(found) == 200
    with pytest.raises(InvalidJobError) as caught:
        itk_schema.parse_input({f"x{n}": n for n in range(300)})
    assert str(caught.value).endswith("... 180 more problems")


def test_policy_is_in_milliseconds() -> None:
    """Seconds where milliseconds are wanted are noticed."""
    found = problems(
        {"input": JOB, "policy": {"executionTimeout": 1800, "ttl": 86400}},
        parse=itk_schema.parse_request,
    )
    assert found == [
        (
            "policy.executionTimeout: needs a whole number of milliseconds from 5000 to 604800000, "
            "got 1800 (did you mean 1800000?)"
        )
    ]
    request = itk_schema.parse_request(
        {"input": JOB, "policy": {"executionTimeout": 1800000, "ttl": 86400000}}
    )
    assert request.policy == Policy(execution_timeout_seconds=1800.0, ttl_seconds=86400.0)
    assert itk_schema.dump(request)["policy"] == {"executionTimeout": 1800000, "ttl": 86400000}


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        ([], "request: needs an object with input"),
        ({}, "input: needs an object, got nothing"),
        ({"input": JOB, "webhok": 1}, "request.webhok: needs to be absent"),
        ({"input": JOB, "webhook": "x"}, "webhook: needs an http(s) URL"),
        ({"input": JOB, "policy": 1}, "policy: needs an object, got 1"),
        ({"input": JOB, "policy": {"ttl_seconds": 9}}, "policy.ttl_seconds: needs to be absent"),
        ({"input": JOB, 3: 1}, "request: needs field names that are text"),
    ],
)
def test_a_request_is_checked_around_the_job(raw: Any, start: str) -> None:
    """What stands beside the input is held to the contract too."""
    assert problems(raw, parse=itk_schema.parse_request)[0].startswith(start)


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("{", "expecting property name"),
        ("NaN", "NaN"),
        ("[1e400]", "1e400"),
        ("1" * 5000, "one of 5000 digits"),
        ('{"a": 1, "a": 2}', "'a' twice"),
        (b"\xff", "byte 0"),
        ("[" * 100_000, "deep nesting"),
        ("[" * 200 + "]" * 200, "deep nesting"),
        (None, "null"),
    ],
)
def test_json_is_read_strictly(text: Any, came: str) -> None:
    """Text that is no JSON, or no sensible JSON, is an InvalidJobError that says why."""
    with pytest.raises(InvalidJobError) as caught:
        itk_schema.parse_json(text)
    assert came in caught.value.problems[0].came


def test_json_is_written_strictly() -> None:
    """NaN is never written, and half a surrogate pair is escaped."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        itk_schema.to_json({"a": float("nan")})
    assert itk_schema.to_json({"a": "é"}) == '{"a": "é"}'
    assert itk_schema.to_json({"a": "\ud800"}) == '{"a": "\\ud800"}'


def test_problems_travel_between_processes() -> None:
    """An InvalidJobError survives pickling with all its facts."""
    error = InvalidJobError((itk_schema.Problem(path="a", needed="b", came="c"),))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert again.problems == error.problems
    assert str(again) == "a: needs b, got c"


def test_a_job_in_python_can_be_checked_whole() -> None:
    """`check` finds what only a worker would refuse."""
    job = JobInput(prompt="a", cond_video="me.jpg", bbox=[0, 0, 1, 1])
    with pytest.raises(InvalidJobError) as caught:
        itk_schema.check(job)
    assert {problem.path for problem in caught.value.problems} == {
        "input.cond_video",
        "input.cond_audio",
    }


def test_boxes_of_two_speakers_are_read() -> None:
    """A mapping of boxes becomes SpeakerBoxes and is written as it came."""
    boxes = {"person1": [0, 0, 4, 4], "person2": [4, 0, 8, 4]}
    job = single({**TWO, "bbox": boxes})
    assert job.bbox == SpeakerBoxes(person1=(0, 0, 4, 4), person2=(4, 0, 8, 4))
    assert itk_schema.dump(job)["bbox"] == boxes


def test_what_has_no_effect_is_a_warning() -> None:
    """A parameter that another one switches off is allowed and mentioned."""
    job = single({**JOB, "teacache_thresh": 0.3, "max_frame_num": 100})
    assert itk_schema.input_warnings(job) == (
        "max_frame_num has no effect without mode = streaming",
        "teacache_thresh has no effect without use_teacache = true",
    )
    assert itk_schema.input_warnings(single(JOB)) == ()
