"""Jobs with text: who speaks it, what the model hears, what people hear, what is refused."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from worker_fakes import FakeEngine, job_input

import itk_media
from itk_media import Fetcher
from itk_schema import ErrorCode, parse_failure, parse_output
from itk_worker.desk import Desk
from itk_worker.handler import Bench
from itk_worker.logs import Log
from itk_worker.pace import Pace
from itk_worker.problems import explain
from itk_worker.redaction import Redactor
from itk_worker.settings import Settings
from itk_worker.synthesis import NO_ORDER_WARNING, STAND_IN_WARNING, load_synthesiser
from itk_worker.warm_up import Boot
from itk_worker.weights import WeightsError


class Humming:
    """Says every line as a tone of a second, a quarter of it silence."""

    name = "humming"
    sample_rate = 24000
    voices = ("af_heart", "am_adam")

    def say(self, text, *, voice, language=None, speed=1.0):  # noqa: ARG002, D102
        moments = np.arange(24000) / 24000
        tone = 0.25 * np.sin(2 * np.pi * 200 * moments) * (moments < 0.75)
        yield tone.astype(np.float32)


@pytest.fixture
def serve(tmp_path):
    """Serves one job with this synthesiser; the output and the engine."""
    desks = []

    async def serve(job, synthesiser):
        volume = tmp_path / "volume"
        volume.mkdir()
        settings = Settings(volume_dir=volume, temp_dir=tmp_path)
        bench = Bench(
            settings=settings,
            engine=FakeEngine(),
            fetch=Fetcher(roots=settings.roots).fetch,
            pace=Pace(),
            synthesiser=synthesiser,
        )
        desk = Desk(
            lambda: bench,
            log=Log(stream=io.StringIO()),
            boot=Boot(),
            output_limit_bytes=settings.output_limit_bytes,
            temp_dir=tmp_path,
        )
        desks.append(desk)

        async def post(_progress):
            pass

        return await desk.serve({"id": "job-1", "input": job}, post=post), bench.engine

    yield serve
    for desk in desks:
        desk.close()


def text_job(text, **more):
    """A job whose speech is this text; fields of tts_audio go by their names."""
    spoken = {
        name: more.pop(name)
        for name in ("human1_voice", "human2_voice", "language", "speed")
        if name in more
    }
    job = job_input(**more)
    return {**job, "cond_audio": None, "tts_audio": {"text": text, **spoken}}


async def test_a_dialogue_reaches_the_model_as_two_tracks_and_people_as_one(serve):
    """Tracks keep their loudness and take turns; the video has the sum at the voices' rate."""
    job = text_job("(s1) Hello? (s2) Here.\nYes! (s3) No. (s1) Ah.", audio_type="add")
    output, engine = await serve(job, Humming())
    result = parse_output(output)
    (order,) = engine.orders
    assert order.speech_loudness == "keep"
    assert order.parameters.audio_type == result.params["audio_type"] == "para"
    first, second = (speech.samples for speech in order.speeches)
    assert len(first) == len(second) == 4 * 16000
    assert _loud_seconds(first) == [0, 3]
    assert _loud_seconds(second) == [1, 2]

    path = Path(result.video.path)
    probe = itk_media.probe(path)
    assert (probe.sample_rate, probe.channels) == (24000, 1)
    assert probe.duration_seconds == pytest.approx(4.0, abs=0.1)
    heard = itk_media.resample(itk_media.read_track(path), 16000)
    assert _loud_seconds(heard.samples[:64000]) == [0, 1, 2, 3]
    assert result.warnings == (NO_ORDER_WARNING,)


def _loud_seconds(samples):
    """The seconds, at 16 kHz, in which somebody speaks at the synthesiser's loudness."""
    peaks = [np.abs(second).max() for second in np.split(samples, len(samples) // 16000)]
    assert all(peak < 0.01 or 0.2 < peak < 0.4 for peak in peaks)
    return [number for number, peak in enumerate(peaks) if peak > 0.2]


async def test_a_part_of_the_text_is_what_the_job_wants(serve):
    """Start and end cut what was spoken, for model and people alike."""
    job = text_job("One.\nTwo.", speech_start_seconds=0.5, speech_end_seconds=1.5)
    output, engine = await serve(job, Humming())
    assert parse_output(output).video.frames == 25
    assert [len(speech.samples) for speech in engine.orders[0].speeches] == [16000]


@pytest.mark.parametrize(
    ("change", "synthesiser", "reason", "words"),
    [
        ({}, None, "not_available", ("input.tts_audio", "itk-worker[tts]", "KOKORO_DIR")),
        ({"human1_voice": "am_adan"}, Humming(), "invalid_field", ("human1_voice", "am_adam")),
        ({"speech_start_seconds": 5}, Humming(), "too_short", ("start_seconds", "0.4 s")),
    ],
    ids=["nobody", "unknown-voice", "too-short"],
)
async def test_text_that_cannot_be_spoken_is_refused(serve, change, synthesiser, reason, words):
    """The caller is told which field is at fault, and how the endpoint would be able to."""
    output, engine = await serve(text_job("Hello.", **change), synthesiser)
    error = parse_failure(output["error"]).error
    assert (error.code, error.reason) == (ErrorCode.E_INPUT_VALIDATION, reason)
    for word in words:
        assert word in error.message
    assert not engine.orders


def espeak():
    """The real stand-in, or a skipped test."""
    from itk_engine import MissingSynthesiserError

    try:
        return load_synthesiser(Settings(tts="espeak"))
    except MissingSynthesiserError as error:
        pytest.skip(str(error))


async def test_espeak_speaks_for_real_and_says_that_it_stands_in(serve):
    """Text becomes a video with a voice; the result says whose."""
    output, engine = await serve(text_job("Good morning to you all."), espeak())
    result = parse_output(output)
    assert STAND_IN_WARNING in result.warnings
    assert result.video.frames > 20
    (speech,) = engine.orders[0].speeches
    assert speech.sample_rate == 16000
    assert np.abs(speech.samples).max() > 0.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tts": "kokoro"}, "KOKORO_DIR is not set"),
        ({"kokoro_dir": "nowhere"}, "KOKORO_DIR"),
    ],
)
def test_a_synthesiser_that_cannot_be_loaded_keeps_the_worker_from_starting(
    tmp_path, settings, words
):
    """Weights that are configured and not there are the operator's to mend."""
    from itk_engine import MissingWeightsError

    if "kokoro_dir" in settings:
        settings = {"kokoro_dir": tmp_path / settings["kokoro_dir"]}
    with pytest.raises((WeightsError, MissingWeightsError)) as caught:
        load_synthesiser(Settings(**settings))
    info = explain(caught.value, at_stage="pipeline_warm", redactor=Redactor())
    assert (info.code, info.reason) == (ErrorCode.E_PIPELINE_LOAD, "missing_weights")
    assert words in info.message


def test_nobody_speaks_unless_asked():
    """Without weights or a wish there is no synthesiser, and `off` is a wish."""
    assert load_synthesiser(Settings()) is None
    assert load_synthesiser(Settings(tts="off")) is None


@pytest.mark.long
def test_a_worker_with_espeak_makes_a_video_of_a_dialogue(new_endpoint, tmp_path):
    """The whole worker: text, two voices, the real engine on its tiny checkpoint, an MP4."""
    espeak()
    endpoint = new_endpoint(
        command=(sys.executable, "-m", "itk_worker"),
        extra_environment={
            "MODEL_CACHE": str(tmp_path / "cache"),
            "ITK_DEVICE": "cpu",
            "ITK_TTS": "espeak",
        },
    )
    job = text_job("(s1) Hi! (s2) Oh.", preset="draft", sample_steps=1, frame_num=13)
    view = endpoint.wait(endpoint.submit(job), seconds=240)[-1]
    assert view["status"] == "COMPLETED", view
    result = parse_output(view["output"])
    assert STAND_IN_WARNING in result.warnings
    assert itk_media.probe(Path(result.video.path)).sample_rate == 22050
