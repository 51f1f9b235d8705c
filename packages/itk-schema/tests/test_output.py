"""Results, failures and progress are written strictly and read leniently."""

from typing import Any

import attrs
import jsonschema
import pytest

import itk_schema
from itk_schema import (
    BatchOutput,
    Diagnostics,
    ErrorCode,
    ErrorInfo,
    InvalidJobError,
    JobFailure,
    JobSuccess,
    Progress,
    Timings,
    VideoArtifact,
)

RESULTS = jsonschema.Draft202012Validator(itk_schema.result_schema())
SUCCESS = JobSuccess(
    job_id="job-1",
    video=VideoArtifact(url="https://example.com/v.mp4", bytes=3, sha256="00", frames=81),
    timings=Timings(sampling_ms=12.5, total_ms=20.0),
    params={"size": "infinitetalk-480", "loras": []},
    seed=42,
    warnings=("the speech is silent",),
    logs=({"event": "validation_ok"},),
)
FAILURE = JobFailure(
    job_id="job-1",
    error=ErrorInfo(
        code=ErrorCode.E_DOWNLOAD_FAILED,
        message="cond_video: 404",
        reason="not_found",
        retryable=False,
        at_stage="downloads",
    ),
    diagnostics=Diagnostics(stderr_tail="..."),
)


def problems(raw: Any) -> list[str]:
    """Return what is wrong with a result, as sentences."""
    with pytest.raises(InvalidJobError) as caught:
        itk_schema.parse_output(raw)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "result",
    [SUCCESS, FAILURE, BatchOutput(job_id="b", items=(SUCCESS, FAILURE))],
    ids=["success", "failure", "batch"],
)
def test_results_survive_the_round_trip(result: Any) -> None:
    """What is written is read back the same, and is what the JSON Schema describes."""
    RESULTS.validate(itk_schema.dump(result))
    assert itk_schema.parse_output(itk_schema.dump(result)) == result
    assert itk_schema.parse_output(itk_schema.parse_json(itk_schema.to_json(result))) == result


def test_a_success_has_the_fields_of_the_contract() -> None:
    """The design's fields and those that the contract adds, nulls included."""
    plain = itk_schema.dump(SUCCESS)
    assert set(plain) == {
        "job_id", "status", "video", "timings", "params", "model", "gpu", "seed", "warnings",
        "metadata_url", "logs",
    }  # fmt: skip
    assert set(plain["video"]) == {
        "url", "mime", "bytes", "thumbnail_url", "path", "key", "sha256", "frames", "fps",
        "duration_seconds",
    }  # fmt: skip
    assert set(plain["timings"]) == {
        "cold_start_ms", "load_ms", "preprocess_ms", "embedding_ms", "sampling_ms", "decode_ms",
        "mux_ms", "upload_ms", "total_ms",
    }  # fmt: skip
    assert plain["metadata_url"] is None
    assert plain["warnings"] == ["the speech is silent"]


def test_a_failure_has_the_fields_of_the_contract() -> None:
    """The whole error output, in one JSON text under `error` and nothing beside it."""
    sent = itk_schema.failure_output(FAILURE)
    assert list(sent) == ["error"]
    plain = itk_schema.parse_json(sent["error"])
    assert set(plain) == {"job_id", "status", "error", "diagnostics"}
    assert set(plain["error"]) == {
        "code", "message", "reason", "retryable", "at_stage", "cause_class", "cause_message",
        "hint",
    }  # fmt: skip
    assert plain["diagnostics"] == {"stderr_tail": "..."}
    assert itk_schema.parse_failure(sent["error"]) == FAILURE


def test_an_items_result_names_the_item() -> None:
    """In a batch each result carries the item's id and index, and the batch its status."""
    item = attrs.evolve(SUCCESS, item_id="a", item_index=0)
    assert itk_schema.dump(item)["item_id"] == "a"
    assert BatchOutput(job_id="b", items=(item, item)).status == "success"
    assert BatchOutput(job_id="b", items=(item, FAILURE)).status == "partial"
    assert BatchOutput(job_id="b", items=(FAILURE,)).status == "error"


def test_a_newer_workers_result_is_understood() -> None:
    """Unknown fields are passed over, missing and null ones have their defaults."""
    newer = {
        "job_id": "job-1",
        "status": "success",
        "video": {"url": "u", "bytes": 3.0, "codec": "av1", "mime": None},
        "carbon_grams": 3,
        "logs": None,
    }
    assert itk_schema.parse_output(newer) == JobSuccess(
        job_id="job-1", video=VideoArtifact(url="u", bytes=3)
    )


def test_a_newer_workers_error_is_understood() -> None:
    """A code that this version does not know becomes the reason."""
    error = {"code": "E_LICENCE", "message": "m", "retryable": True}
    read = itk_schema.parse_output({"job_id": "a", "status": "error", "error": error})
    assert isinstance(read, JobFailure)
    assert read.error.code is ErrorCode.E_GENERATION_RUNTIME
    assert (read.error.reason, read.error.retryable) == ("E_LICENCE", True)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (5, ["output: needs an object, got 5"]),
        ({"job_id": "a", "video": 5}, ["output.video: needs an object, got 5"]),
        (
            {},
            [
                "output.job_id: needs a value, got nothing",
                "output.video: needs a value, got nothing",
            ],
        ),
        (
            {"job_id": 1, "video": {"bytes": "3", "fps": True, "url": 2}},
            [
                "output.job_id: needs text, got 1",
                "output.video.url: needs text, got 2",
                "output.video.bytes: needs a whole number, got '3'",
                "output.video.fps: needs a number, got true",
            ],
        ),
        (
            {"job_id": "a", "items": [{"job_id": "a", "error": {"code": 3, "message": "m"}}]},
            ["output.items[0].error.code: needs a known code, got 3"],
        ),
        (
            {"job_id": "a", "items": [], "status": "fine"},
            ["output.status: needs one of success, partial, error, got 'fine'"],
        ),
        (
            {"job_id": "a", "video": {}, "warnings": [1]},
            ["output.warnings[0]: needs text, got 1"],
        ),
        (
            {"job_id": "a", "video": {}, "params": []},
            ["output.params: needs an object, got []"],
        ),
    ],
    ids=range(8),
)
def test_nonsense_is_explained(raw: Any, found: list[str]) -> None:
    """Every wrong field of a result is named with what was needed and what came."""
    assert problems(raw) == found


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("CUDA driver crashed", ErrorCode.E_GENERATION_RUNTIME, "CUDA driver crashed"),
        ("job timed out after 1 retries", ErrorCode.E_TIMEOUT, "job timed out after 1 retries"),
        (
            '{"error_type": "<class \'KeyError\'>", "error_message": "x", "error_traceback": "/a"}',
            ErrorCode.E_GENERATION_RUNTIME,
            "x",
        ),
        ("", ErrorCode.E_GENERATION_RUNTIME, "the job failed without a reason"),
        (None, ErrorCode.E_GENERATION_RUNTIME, "the job failed without a reason"),
        (7, ErrorCode.E_GENERATION_RUNTIME, "the job failed without a reason"),
        ('{"error": {"code": 7}}', ErrorCode.E_GENERATION_RUNTIME, '{"error": {"code": 7}}'),
    ],
    ids=["text", "timeout", "sdk", "empty", "nothing", "number", "broken"],
)
def test_any_failure_becomes_a_coded_error(text: Any, code: ErrorCode, message: str) -> None:
    """Whoever reports a failure, in whatever form, the client has a code and a sentence."""
    failure = itk_schema.parse_failure(text, job_id="mine")
    assert (failure.job_id, failure.error.code) == ("mine", code)
    assert failure.error.message == message
    assert failure.error.hint


def test_every_code_says_what_to_do() -> None:
    """Each code has a meaning, a hint, stages that exist, and the contract's retry rule."""
    assert {code.value for code in ErrorCode if code.retryable} == {
        "E_DOWNLOAD_FAILED",
        "E_UPLOAD",
        "E_INTERRUPTED",
    }
    stages = {stage.value for stage in itk_schema.AtStage}
    for code in ErrorCode:
        assert code.name == code.value
        assert code.meaning.endswith(".")
        assert code.hint.endswith(".")
        assert set(code.facts.stages) <= stages


def test_progress_survives_the_round_trip() -> None:
    """Progress carries its type, and leaves out the item where there is none."""
    progress = Progress(stage="chunk_0_decode", pct=79.5, job_id="a", seq=4, details={"chunk": 0})
    plain = itk_schema.dump(progress)
    assert plain["type"] == "progress"
    RESULTS.validate(plain)
    assert "item_id" not in plain
    assert itk_schema.parse_progress({**plain, "mood": "good"}) == progress
    item = attrs.evolve(progress, item_id="x", item_index=1)
    assert itk_schema.parse_progress(itk_schema.dump(item)) == item


@pytest.mark.parametrize("raw", [None, "progress", {}, {"type": "progress"}, {"job_id": "a"}])
def test_other_outputs_are_no_progress(raw: Any) -> None:
    """A result, or anything else, that stands where progress stood is not taken for progress."""
    assert itk_schema.parse_progress(raw) is None
