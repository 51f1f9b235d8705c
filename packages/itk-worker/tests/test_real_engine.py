"""The whole worker with the real engine on the tiny model."""

import io
import json
import sys

import av
import numpy as np
import pytest
from attrs import evolve
from worker_fakes import clip, data_uri, job_input, tone

from itk_schema import parse_failure, parse_output
from itk_worker.logs import Log
from itk_worker.real_engine import load_engine
from itk_worker.settings import Settings
from itk_worker.variables import LoraFile

pytestmark = pytest.mark.long

QUICK = {"preset": "draft", "sample_steps": 1, "frame_num": 13}


@pytest.fixture(scope="module")
def real(module_endpoint, tmp_path_factory):
    """One endpoint whose worker has no configuration at all, but where its cache is."""
    cache = tmp_path_factory.mktemp("cache")
    endpoint = module_endpoint(
        command=(sys.executable, "-m", "itk_worker"),
        extra_environment={"MODEL_CACHE": str(cache), "ITK_DEVICE": "cpu"},
    )
    endpoint.cache = cache
    return endpoint


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film of two scenes, 0.6 s each, with a hum, as a data: URI."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return data_uri(clip(path, seconds_each=0.6), "video/mp4")


def made(endpoint, job):
    """The result of a job that succeeds."""
    view = endpoint.wait(endpoint.submit(job), seconds=240)[-1]
    assert view["status"] == "COMPLETED", view
    return parse_output(view["output"])


def watched(endpoint, result):
    """Frames [F, H, W, 3] and sound [N] of a result."""
    content = endpoint.http.get(result.video.url).content
    with av.open(io.BytesIO(content)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(io.BytesIO(content)) as container:
        sound = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    assert len(frames) == result.video.frames
    assert frames[0].shape[:2] == (result.params["height"], result.params["width"])
    return np.stack(frames), np.concatenate(sound)


def loud(sound):
    """How loud samples are."""
    return float(np.sqrt(np.square(sound).mean()))


def test_without_weights_the_tiny_model_makes_the_video_and_says_so(real):
    """No configuration at all still makes a video; model, warnings and log name the tiny one."""
    result = made(real, job_input(seconds=0.5, **QUICK))
    assert result.model.name == "tiny"
    assert any("tiny model" in warning for warning in result.warnings)
    assert result.video.frames == 12
    assert "tiny_model" in real.log_path.read_text()
    assert result.timings.load_ms > 0
    assert result.timings.sampling_ms > 0


def test_a_dub_in_two_scenes_keeps_its_own_sound(real, film):
    """Streaming over a cut: as many frames as the speech has, the hum under a silent speech."""
    silent = {"person1": data_uri(tone(1.0, amplitude=0.0), "audio/wav")}
    job = job_input(
        **QUICK,
        mode="streaming",
        motion_frame=5,
        cond_video=film,
        cond_audio=silent,
        split_scenes=True,
        source_audio="keep",
    )
    result = made(real, job)
    _, sound = watched(real, result)
    assert result.video.frames == 25
    assert loud(sound) > 0.2
    assert not any("no effect" in warning for warning in result.warnings)


def test_two_people_speak_in_their_halves(real):
    """Different lengths: the video is as long as the longer; the tiny adapter serves both."""
    both = {
        "person1": data_uri(tone(0.6), "audio/wav"),
        "person2": data_uri(tone(0.8), "audio/wav"),
    }
    result = made(real, job_input(**QUICK, mode="streaming", motion_frame=5, cond_audio=both))
    watched(real, result)
    assert result.video.frames == 20
    assert not any("adapter" in warning for warning in result.warnings)


def test_a_portrait_that_the_camera_moves_over_is_made_in_its_own_size(real):
    """camera_motion, output_size and a part of the speech in one job."""
    job = job_input(
        **QUICK,
        seconds=2.0,
        camera_motion="zoom_in",
        output_size="source",
        fit="pad",
        speech_start_seconds=1.0,
        speech_end_seconds=1.48,
    )
    result = made(real, job)
    frames, sound = watched(real, result)
    assert frames.shape == (12, 60, 80, 3)
    assert loud(sound) > 0.05


@pytest.mark.parametrize("stage", ["_sampling_", "_decode", "_preprocess"])
def test_a_cancelled_job_ends_and_the_next_one_runs(real, film, stage):
    """Cancelled while a dub's chunk is sampled, decoded or prepared; nothing of it is left."""
    job = job_input(
        **{**QUICK, "sample_steps": 2},
        seconds=20.0,
        mode="streaming",
        motion_frame=5,
        cond_video=film,
        split_scenes=True,
    )
    job_id = real.submit(job)
    real.wait(job_id, until=lambda view: stage in str(view.get("output")), seconds=120)
    assert real.http.post(f"/cancel/{job_id}").json()["status"] == "CANCELLED"
    result = made(real, job_input(seconds=0.5, **QUICK))
    assert result.video.frames == 12
    assert real.status(job_id)["status"] == "CANCELLED"
    assert not list(real.log_path.parent.glob(f"volume/infinitetalk/{job_id}/*"))


def test_a_preset_whose_lora_is_not_there_is_refused(real):
    """The real endpoint says what it has."""
    view = real.finish(job_input(preset="fast-4"))
    error = parse_failure(view["error"]).error
    assert (error.code, error.reason) == ("E_INPUT_VALIDATION", "not_available")
    assert "no LoRA" in error.message


def test_a_configured_lora_is_merged_and_offered(real, tmp_path):
    """The engine's weights have another identity, and only jobs that name this LoRA pass."""
    from safetensors.numpy import save_file

    from itk_tiny import checkpoint_folder

    config = checkpoint_folder() / "Wan2.1-I2V-14B-480P" / "config.json"
    width = json.loads(config.read_text())["dim"]
    shift = {"diffusion_model.blocks.0.self_attn.q.diff_b": np.ones(width, np.float32)}
    save_file(shift, str(tmp_path / "a.safetensors"))
    plain = Settings(model_cache=real.cache, device="cpu")
    merged = evolve(plain, loras=(LoraFile(name="lightx2v", path=tmp_path / "a.safetensors"),))
    identities = []
    for settings in (plain, merged):
        loaded = load_engine(settings, Log(stream=io.StringIO()))
        identities.append(loaded.engine.model_info.weights)
        loaded.engine.close()
    assert len(set(identities)) == 2
    assert loaded.offers.loras == ("lightx2v",)
