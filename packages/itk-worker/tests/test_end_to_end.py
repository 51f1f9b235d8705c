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


def test_a_cancelled_job_stops_within_a_step_and_the_next_one_runs(endpoint, log_lines):
    """The GPU's thread ends the job before the next job is taken."""
    job_id = endpoint.submit(job_input("[slow]", sample_steps=300))
    endpoint.wait(job_id, until=lambda view: "sampling" in str(view.get("output")))
    assert endpoint.http.post(f"/cancel/{job_id}").json()["status"] == "CANCELLED"
    assert endpoint.finish(job_input())["status"] == "COMPLETED"
    events = [line for line in log_lines(endpoint) if line.get("job_id") == job_id]
    assert events[-1]["details"]["code"] == "E_CANCELLED"
    assert endpoint.status(job_id)["status"] == "CANCELLED"


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


def test_files_too_large_for_a_request_are_brought_to_the_volume(endpoint):
    """An uploaded file is named in the job by the path that the upload answered."""
    kept = endpoint.http.put(f"{endpoint.listening.files_url}incoming/a.wav", content=tone(1.0))
    assert kept.status_code == 201
    job = job_input()
    job["cond_audio"] = {"person1": kept.json()["path"]}
    assert endpoint.finish(job)["status"] == "COMPLETED"
