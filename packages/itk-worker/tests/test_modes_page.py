"""The jobs on the page about modes are valid, and the worker makes them."""

import json
import re
import sys
from pathlib import Path

import pytest
from worker_fakes import clip

from itk_schema import parse_input, parse_output, resolve_parameters
from itk_worker.features import require_available
from itk_worker.offers import Offers

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "packages" / "itk-client" / "src" / "itk_client" / "samples"
JOBS = [
    json.loads(block)
    for block in re.findall(
        r"^```json\n(.*?)^```",
        (ROOT / "docs" / "modes.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]


def brought(job, folder):
    """The job with its files on a volume."""

    def path(name):
        file = folder / name
        if not file.exists():
            source = SAMPLES / name
            file.write_bytes(source.read_bytes() if source.exists() else clip(file))
        return str(file)

    return {
        **job,
        "cond_video": path(job["cond_video"]),
        "cond_audio": {person: path(name) for person, name in job["cond_audio"].items()},
    }


@pytest.mark.parametrize("job", JOBS, ids=[str(number) for number in range(len(JOBS))])
def test_a_job_of_the_page_asks_for_nothing_that_is_missing(job, tmp_path):
    """Every field is known, and a plain endpoint has all that it needs."""
    parsed = parse_input(brought(job, tmp_path))
    parameters = resolve_parameters(parsed)
    require_available(parsed, parameters)
    Offers().require(parsed, parameters)


@pytest.mark.long
def test_every_job_of_the_page_is_made(module_endpoint, tmp_path_factory):
    """The real engine makes each of them, shortened, from the packaged samples."""
    cache = tmp_path_factory.mktemp("cache")
    endpoint = module_endpoint(
        command=(sys.executable, "-m", "itk_worker"),
        extra_environment={"MODEL_CACHE": str(cache), "ITK_DEVICE": "cpu"},
    )
    volume = endpoint.log_path.parent / "volume"
    volume.mkdir(exist_ok=True)
    short = {"preset": "draft", "sample_steps": 1, "frame_num": 13, "max_frame_num": 20}
    for job in JOBS:
        wanted = {**brought(job, volume), **short}
        view = endpoint.wait(endpoint.submit(wanted), seconds=240)[-1]
        assert view["status"] == "COMPLETED", view
        frames = parse_output(view["output"]).video.frames
        assert frames == (20 if job.get("mode") == "streaming" else 13)
