"""From a picture and a voice to a video, through every real part."""

import base64
import hashlib
import importlib.resources
import json
import math
import struct
import wave
from pathlib import Path

import av
import httpx2
import numpy as np
import pytest
from PIL import Image
from pymediainfo import MediaInfo

from itk_client import JobFailedError, Progressed, Result, ValidationError

SAMPLES = Path(str(importlib.resources.files("itk_client"))) / "samples"
PROMPT = "A person looks into the camera and talks."


@pytest.fixture(scope="module")
def made(endpoint, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Return what one ordinary job left: its result, its events and its downloaded files."""
    folder = tmp_path_factory.mktemp("made")
    events: list = []
    with endpoint.client() as client:
        job = client.submit(talk())
        result = job.result(timeout_seconds=200, on_event=events.append)
        assert isinstance(result, Result)
        files = {
            kind: artifact.download(folder / f"made.{kind}")
            for kind, artifact in result.files().items()
        }
    return {"result": result, "events": events, **files}


def test_the_video_is_what_was_asked_for(made: dict) -> None:
    """An independent reader finds H.264 yuv420p at 25 fps, AAC, and the index in front."""
    tracks = {track.track_type: track for track in MediaInfo.parse(made["video"]).tracks}
    video, sound, container = tracks["Video"], tracks["Audio"], tracks["General"]
    assert video.format == "AVC"
    assert (video.color_space, video.chroma_subsampling, video.bit_depth) == ("YUV", "4:2:0", 8)
    assert video.frame_rate == "25.000"
    assert sound.format == "AAC"
    assert container.isstreamable == "Yes"
    assert abs(int(sound.duration) - int(video.duration)) <= 40


def test_the_video_is_as_long_as_the_speech(made: dict) -> None:
    """The number of frames is that of the speech at 25 fps, as the result says too."""
    with wave.open(str(SAMPLES / "speech.wav")) as speech:
        seconds = speech.getnframes() / speech.getframerate()
    video = next(t for t in MediaInfo.parse(made["video"]).tracks if t.track_type == "Video")
    output = made["result"].output
    assert abs(int(video.frame_count) - seconds * 25) <= 1
    assert output.video.frames == int(video.frame_count)
    assert output.video.fps == 25
    assert math.isclose(output.video.duration_seconds, output.video.frames / 25)


def test_the_mouth_moves_with_the_speech(made: dict) -> None:
    """The drawn mouth opens where the speech is loud, at once, and not with another speech."""
    frames = pixels_of(made["video"]).astype(np.float64)
    mouth = frames[:, 80:100, 54:74, 1]  # green, round the mouth of the packaged portrait
    lips = np.quantile(mouth[0], 0.3)
    opening = np.clip(lips - mouth, 0, None).mean(axis=(1, 2))
    loudness = loudness_of(SAMPLES / "speech.wav", len(frames))
    scores = {
        lag: np.corrcoef(opening[5 + lag : -5 + lag], loudness[5:-5])[0, 1] for lag in range(-4, 5)
    }
    assert scores[0] > 0.9
    assert abs(max(scores, key=lambda lag: scores[lag])) <= 1
    assert np.corrcoef(opening, loudness[::-1])[0, 1] < 0.3


def test_the_artifacts_arrive_whole(made: dict) -> None:
    """The files that were downloaded are those that the worker describes."""
    video, output = made["video"], made["result"].output
    assert video.stat().st_size == output.video.bytes
    assert hashlib.sha256(video.read_bytes()).hexdigest() == output.video.sha256
    tracks = MediaInfo.parse(video).tracks
    size = next((t.width, t.height) for t in tracks if t.track_type == "Video")
    with Image.open(made["thumbnail"]) as thumbnail:
        assert thumbnail.size == size
    metadata = json.loads(made["metadata"].read_text())
    assert metadata["seed"] == output.seed


def test_the_tiny_model_does_not_pretend(made: dict) -> None:
    """Result, metadata and warnings say that the tiny model made the video."""
    output = made["result"].output
    assert output.model.name == "tiny"
    assert json.loads(made["metadata"].read_text())["model"]["name"] == "tiny"
    assert any("tiny" in warning or "small" in warning for warning in output.warnings)


def test_progress_is_told_in_order(made: dict) -> None:
    """Stages rise from validation to completion, and percentages never fall."""
    told = [event.progress for event in made["events"] if isinstance(event, Progressed)]
    percentages = [progress.pct for progress in told]
    assert percentages == sorted(percentages)
    assert [p.seq for p in told] == sorted({p.seq for p in told})
    assert any("sampling" in progress.stage for progress in told)


def test_the_same_job_makes_the_same_video(endpoint) -> None:
    """Two jobs with one seed give one picture, and another seed another."""
    with endpoint.client() as client:
        first, second, other = (
            client.submit(talk(mode="clip", frame_num=13, sample_steps=1, base_seed=seed)).result(
                timeout_seconds=200
            )
            for seed in (7, 7, 8)
        )
    pictures = [pixels_of(Path(result.output.video.path)) for result in (first, second, other)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5
    assert np.abs(pictures[0] - pictures[2]).mean() > 1


def test_an_unreadable_picture_is_named(endpoint, tmp_path: Path) -> None:
    """A file that is no picture ends the job, with the field and what it seems to be."""
    broken = tmp_path / "portrait.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(400))
    error = refused(endpoint, talk(cond_video=broken))
    assert error.code == "E_INPUT_VALIDATION"
    assert "cond_video" in error.message
    assert not error.retryable


def test_speech_that_is_too_short_is_named(endpoint, tmp_path: Path) -> None:
    """Speech under 0.4 s ends the job, with the length that is needed and that came."""
    short = tmp_path / "short.wav"
    with wave.open(str(short), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(struct.pack("<3200h", *([1000, -1000] * 1600)))
    error = refused(endpoint, talk(cond_audio={"person1": short}))
    assert error.code == "E_INPUT_VALIDATION"
    assert "0.4" in error.message
    assert "0.2" in error.message


def test_the_worker_checks_what_a_careless_client_sends(endpoint) -> None:
    """Unknown fields and wrong words are all told at once, with the nearest known name."""
    job = {
        "prompt": PROMPT,
        "cond_video": inline("portrait.png", "image/png"),
        "cond_audio": {"person1": inline("speech.wav", "audio/wav")},
        "sample_step": 4,
        "size": "infinitetalk-481",
    }
    posted = httpx2.post(f"{endpoint.url}/run", json={"input": job}, timeout=30).json()
    with endpoint.client() as client, pytest.raises(JobFailedError) as caught:
        client.job(posted["id"]).result(timeout_seconds=200)
    error = caught.value
    assert error.code == "E_INPUT_VALIDATION"
    assert "sample_steps" in error.message
    assert "infinitetalk-480" in error.message


def test_a_careful_client_sends_nothing_wrong(endpoint) -> None:
    """The client refuses a bad job before anything is sent."""
    with endpoint.client() as client, pytest.raises(ValidationError, match="sample_steps"):
        client.submit(talk(sample_step=4))


def test_missing_weights_reach_the_caller(start_endpoint) -> None:
    """A worker whose weights are not there says which path is missing, and which variable."""
    lost = start_endpoint({"CKPT_DIR": "/nowhere/weights"})
    error = refused(lost, talk())
    assert error.code == "E_PIPELINE_LOAD"
    assert "/nowhere/weights" in error.message
    assert "CKPT_DIR" in f"{error.message} {error.hint}"


def talk(**changes: object) -> dict:
    """Return an ordinary job: the packaged portrait says the packaged words."""
    job = {
        "prompt": PROMPT,
        "cond_video": SAMPLES / "portrait.png",
        "cond_audio": {"person1": SAMPLES / "speech.wav"},
        "preset": "draft",
    }
    return job | changes


def inline(name: str, mime: str) -> str:
    """Return a packaged sample as a data URI."""
    return f"data:{mime};base64,{base64.b64encode((SAMPLES / name).read_bytes()).decode()}"


def refused(endpoint, job: dict) -> JobFailedError:
    """Return the coded error that a job ends with."""
    with endpoint.client() as client, pytest.raises(JobFailedError) as caught:
        client.submit(job).result(timeout_seconds=200)
    return caught.value


def pixels_of(video: Path) -> np.ndarray:
    """Return every frame of a video as integers [F, H, W, 3]."""
    with av.open(str(video)) as made:
        return np.stack(
            [frame.to_ndarray(format="rgb24") for frame in made.decode(video=0)]
        ).astype(int)


def loudness_of(speech: Path, frames: int) -> np.ndarray:
    """Return the smoothed amplitude of a 16-bit file in each of so many frames at 25 fps."""
    with wave.open(str(speech)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
        step = file.getframerate() // 25
    whole = np.zeros(frames * step)
    whole[: min(len(samples), len(whole))] = samples[: len(whole)]
    power = np.sqrt(np.square(whole.reshape(frames, step)).mean(axis=1))
    window = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.25**2))
    return np.convolve(power, window / window.sum(), "same")
