"""The whole worker with the real engine on the tiny checkpoint."""

import sys

import pytest
from worker_fakes import job_input

from itk_schema import parse_output


@pytest.mark.long
def test_without_weights_the_tiny_checkpoint_makes_the_video_and_says_so(new_endpoint, tmp_path):
    """No configuration at all still makes a video; model, warnings and log name the stand-in."""
    endpoint = new_endpoint(
        command=(sys.executable, "-m", "itk_worker"),
        extra_environment={"MODEL_CACHE": str(tmp_path / "cache"), "ITK_DEVICE": "cpu"},
    )
    job = job_input(seconds=0.5, preset="draft", sample_steps=1, frame_num=13)
    view = endpoint.wait(endpoint.submit(job), seconds=240)[-1]
    assert view["status"] == "COMPLETED", view
    result = parse_output(view["output"])
    assert result.model.name == "tiny"
    assert any("tiny checkpoint" in warning for warning in result.warnings)
    assert result.video.frames == 12
    assert "tiny_checkpoint" in endpoint.log_path.read_text()
    assert len(list((tmp_path / "cache").glob("tiny-*"))) == 1
    assert result.timings.load_ms > 0
    assert result.timings.sampling_ms > 0
