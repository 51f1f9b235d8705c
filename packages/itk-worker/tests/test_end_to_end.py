"""The real worker process in Runpod's real loop, asked over real HTTP."""

import json

import av
import pytest
from worker_fakes import job_input, tone

from itk_schema import parse_failure, parse_output, parse_progress


def failure(view):
    """The coded error of a failed job, and that it is one JSON string."""
    assert view["status"] == "FAILED", view
    assert isinstance(view["error"], str)
    assert "output" not in view
    json.loads(view["error"])
    return parse_failure(view["error"]).error


def test_a_job_becomes_a_video_that_can_be_fetched(endpoint, tmp_path):
    """Portrait and speech go in; MP4, JPG and JSON come out, at URLs that answer."""
    result = parse_output(endpoint.finish(job_input(seconds=1.2))["output"])
    assert result.status == "success"
    assert result.video.frames == 30
    assert result.video.duration_seconds == pytest.approx(1.2)
    assert result.video.key.startswith(f"infinitetalk/{result.job_id}/infitalk_infinitetalk-480_4_")
    video = endpoint.http.get(result.video.url)
    assert video.status_code == 200
    assert len(video.content) == result.video.bytes
    path = tmp_path / "video.mp4"
    path.write_bytes(video.content)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.frames) == ("h264", 30)
        assert container.streams.audio[0].rate == 16000
        assert result.job_id in container.metadata["comment"]
    assert endpoint.http.get(result.video.thumbnail_url).content[:2] == b"\xff\xd8"
    metadata = endpoint.http.get(result.metadata_url).json()
    assert metadata["params"]["sample_steps"] == 4
    assert metadata["video"]["sha256"] == result.video.sha256
    assert metadata["warnings"] == list(result.warnings)
    assert result.timings.total_ms > 0


def test_progress_arrives_in_order_and_never_after_the_result(endpoint):
    """Every stage is seen rising, and the worker posts nothing once the result is there."""
    job_id = endpoint.submit(job_input("[slow] two chunks [chunks 2]"))
    views = endpoint.wait(job_id)
    progress = [p for view in views if (p := parse_progress(view.get("output")))]
    numbers = [one.seq for one in progress]
    shares = [one.pct for one in progress]
    assert numbers == sorted(numbers)
    assert shares == sorted(shares)
    stages = [one.stage for one in progress]
    assert any(stage.startswith("chunk_1_sampling_") for stage in stages)
    sampling = next(one for one in progress if "sampling" in one.stage)
    assert {"chunk", "chunks", "step", "steps"} <= set(sampling.details)
    assert 1 <= len(sampling.logs) <= 5
    assert views[-1]["status"] == "COMPLETED"
    assert endpoint.store.find(job_id).late_posts == 0


def test_every_stage_of_the_contract_is_logged(endpoint, log_lines):
    """The log names each stage once, in order, as JSON lines with the job's id."""
    job_id = endpoint.submit(job_input())
    endpoint.wait(job_id)
    lines = [line for line in log_lines(endpoint) if line.get("job_id") == job_id]
    events = [line["event"] for line in lines]
    wanted = [
        *("validation_started", "validation_ok", "downloads_started", "downloads_ok"),
        *("embeddings_started", "embeddings_ok", "pipeline_warm_started", "pipeline_warm_ok"),
        *("generation_started", "generation_preprocess", "generation_decode"),
        *("muxing_started", "muxing_ok", "upload_started", "upload_ok", "completed"),
    ]
    assert [event for event in events if event in wanted] == wanted
    assert "generation_sampling" in events
    assert all({"ts", "level", "job_id", "event"} <= set(line) for line in lines)
    assert lines[-1]["lat_ms"] > 0


@pytest.mark.parametrize(
    ("change", "code", "reason", "words"),
    [
        ({"sample_stepz": 3}, "E_INPUT_VALIDATION", "invalid_field", "sample_steps"),
        ({"size": "huge"}, "E_INPUT_VALIDATION", "invalid_field", "input.size"),
        ({"cond_video": "data:image/png;base64,iVBORw0KGgo="}, "E_INPUT_VALIDATION", "", "video"),
        ({"prompt": "[oom]"}, "E_OOM", "out_of_memory", "out of memory"),
    ],
    ids=["unknown", "enum", "broken-picture", "oom"],
)
def test_every_failure_reaches_the_caller_as_its_code(endpoint, change, code, reason, words):
    """The error is one JSON string with code, reason, stage and a sentence that helps."""
    error = failure(endpoint.finish({**job_input(), **change}))
    assert error.code == code
    assert error.reason.startswith(reason)
    assert words in error.message
    assert error.at_stage
    assert error.hint


def test_speech_under_four_tenths_of_a_second_is_refused(endpoint):
    """The message names the field and what came."""
    error = failure(endpoint.finish(job_input(seconds=0.2)))
    assert (error.code, error.reason) == ("E_INPUT_VALIDATION", "too_short")
    assert "cond_audio.person1" in error.message
    assert "0.20 s" in error.message


def test_a_cancelled_job_stops_within_a_step_and_the_next_one_runs(endpoint, log_lines):
    """The GPU's thread ends the job before the next job is taken."""
    job_id = endpoint.submit(job_input("[slow]", sample_steps=300))
    endpoint.wait(job_id, until=lambda view: "sampling" in str(view.get("output")))
    assert endpoint.http.post(f"/cancel/{job_id}").json()["status"] == "CANCELLED"
    assert endpoint.finish(job_input())["status"] == "COMPLETED"
    events = [line for line in log_lines(endpoint) if line.get("job_id") == job_id]
    assert events[-1]["details"]["code"] == "E_CANCELLED"
    assert endpoint.store.find(job_id).late_posts == 0


def test_a_small_video_comes_inline_and_a_large_one_is_an_error(endpoint):
    """A result that Runpod would drop without a word is a coded error instead."""
    inline = {"store": "inline"}
    result = parse_output(endpoint.finish(job_input(output_config=inline))["output"])
    assert result.video.url.startswith("data:video/mp4;base64,")
    assert result.video.thumbnail_url.startswith("data:image/jpeg;base64,")
    large = job_input("[noise]", seconds=8.0, output_config=inline)
    error = failure(endpoint.finish(large))
    assert (error.code, error.reason) == ("E_UPLOAD", "too_large")
    assert "volume" in error.hint


def test_a_result_that_is_not_json_fails_and_does_not_hang(endpoint):
    """NaN inside a result ends the job at once, with a code."""
    assert failure(endpoint.finish(job_input("[nan]"))).code in {
        "E_GENERATION_RUNTIME",
        "E_UPLOAD",
    }


def test_a_batch_goes_on_after_an_item_that_fails(endpoint):
    """Items one and three are delivered; the second says what was wrong with it."""
    items = [
        {**job_input(), "id": "one"},
        {**job_input("[oom]"), "id": "two"},
        {**job_input(), "id": "three"},
    ]
    job_id = endpoint.submit({"batch": items})
    views = endpoint.wait(job_id)
    output = parse_output(views[-1]["output"])
    assert output.status == "partial"
    assert [item.status for item in output.items] == ["success", "error", "success"]
    assert [item.item_id for item in output.items] == ["one", "two", "three"]
    assert output.items[1].error.code == "E_OOM"
    assert "/three/" in output.items[2].video.key
    progress = [p for view in views if (p := parse_progress(view.get("output")))]
    assert [one.pct for one in progress] == sorted(one.pct for one in progress)
    assert {one.item_id for one in progress} <= {"one", "two", "three"}


def test_the_same_job_again_gives_the_same_keys(endpoint):
    """A retried job overwrites its own files and takes the same seed."""
    job = job_input("[oom]", base_seed=-1)
    job_id = endpoint.submit(job)
    endpoint.wait(job_id)
    assert endpoint.http.post(f"/retry/{job_id}").json() == {"id": job_id, "status": "IN_QUEUE"}
    endpoint.wait(job_id)
    first = parse_output(endpoint.finish(job_input(base_seed=7))["output"])
    assert first.seed == 7
    assert f"seed7_{first.job_id}.mp4" in first.video.key


def test_files_too_large_for_a_request_are_brought_to_the_volume(endpoint):
    """An uploaded file is named in the job by the path that the upload answered."""
    kept = endpoint.http.put(f"{endpoint.listening.files_url}incoming/a.wav", content=tone(1.0))
    assert kept.status_code == 201
    job = job_input()
    job["cond_audio"] = {"person1": kept.json()["path"]}
    assert endpoint.finish(job)["status"] == "COMPLETED"
