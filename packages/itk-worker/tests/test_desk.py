"""Jobs on the desk, without Runpod: what is made, what is said, what leaves."""

import asyncio
import io
import json

import pytest
from attrs import evolve
from worker_fakes import FakeEngine, data_uri, job_input, tone

from itk_media import Fetcher
from itk_schema import (
    ErrorCode,
    JobSuccess,
    VideoArtifact,
    parse_failure,
    parse_output,
    parse_progress,
    resolve_seed,
)
from itk_worker.desk import Desk, job_folder, sweep_folders
from itk_worker.handler import Bench
from itk_worker.logs import Log
from itk_worker.pace import Pace
from itk_worker.redaction import Redactor
from itk_worker.settings import Settings
from itk_worker.warm_up import Boot


class Counter:
    """A desk around a fake engine, its log and what it posted."""

    def __init__(self, folder, **settings):
        self.text = io.StringIO()
        self.log = Log(stream=self.text, redactor=Redactor(("s3cr3t-key",)))
        volume = folder / "volume"
        volume.mkdir()
        temporary = folder / "temporary"
        temporary.mkdir()
        self.temporary = temporary
        self.volume = volume
        self.settings = Settings(volume_dir=volume, temp_dir=temporary, **settings)
        self.engine = FakeEngine()
        fetch = Fetcher(roots=self.settings.roots).fetch
        self.bench = Bench(settings=self.settings, engine=self.engine, fetch=fetch, pace=Pace())
        self.desk = None
        self.posted = []

    async def take(self, job, job_id="job-1"):
        """Serve one job and keep its progress."""

        async def post(progress):
            self.posted.append(progress)

        return await self.open().serve({"id": job_id, "input": job}, post=post)

    def open(self):
        """The desk itself."""
        if self.desk is None:
            self.desk = Desk(
                lambda: self.bench,
                log=self.log,
                boot=Boot(),
                output_limit_bytes=self.settings.output_limit_bytes,
                temp_dir=self.temporary,
            )
        return self.desk

    @property
    def lines(self):
        """The log so far."""
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@pytest.fixture
def counter(tmp_path):
    """A desk with a volume."""
    one = Counter(tmp_path)
    yield one
    if one.desk:
        one.desk.close()


def error_of(answer):
    """The coded error of an answer that has nothing beside it."""
    assert list(answer) == ["error"]
    assert isinstance(answer["error"], str)
    return parse_failure(answer["error"]).error


async def test_every_stage_is_logged_and_posted_once_in_order(counter):
    """Stages and percentages are those of the contract, in the log and in the progress."""
    await counter.take(job_input())
    wanted = [
        *("validation_started", "validation_ok", "downloads_started", "downloads_ok"),
        *("embeddings_started", "embeddings_ok", "pipeline_warm_started", "pipeline_warm_ok"),
        *("generation_started", "generation_preprocess", "generation_decode"),
        *("muxing_started", "muxing_ok", "upload_started", "upload_ok", "completed"),
    ]
    events = [line["event"] for line in counter.lines]
    assert [event for event in events if event in wanted] == wanted
    assert "generation_sampling" in events
    assert all({"ts", "level", "job_id", "event"} <= set(line) for line in counter.lines)
    progress = [parse_progress(one) for one in counter.posted]
    assert [one.stage for one in progress][:4] == wanted[:4]
    assert [one.stage for one in progress][-1] == "completed"
    assert [one.pct for one in progress] == sorted(one.pct for one in progress)
    assert progress[-1].pct == 100
    assert [one.seq for one in progress] == sorted({one.seq for one in progress})


async def test_the_same_job_again_is_the_same_video_under_the_same_key(counter):
    """Key and seed follow from the job's id; nothing is left in the temporary folder."""
    job = job_input(base_seed=-1)
    first = parse_output(await counter.take(job, job_id="RP-1"))
    again = parse_output(await counter.take(job, job_id="RP-1"))
    seed = resolve_seed(-1, "RP-1")
    assert (first.seed, counter.engine.orders[0].seed) == (seed, seed)
    key = f"infinitetalk/RP-1/infitalk_infinitetalk-480_4_seed{seed}_RP-1.mp4"
    assert (first.video.key, again.video.key) == (key, key)
    assert first.video.frames == again.video.frames
    assert first.video.url is None
    found = sorted(path.suffix for path in counter.volume.rglob("*") if path.is_file())
    assert found == [".jpg", ".json", ".mp4"]
    assert list(counter.temporary.iterdir()) == []


async def test_a_batch_goes_on_after_an_item_that_fails(counter):
    """Items one and three are delivered; the second says what was wrong with it."""
    items = [{**job_input(), "id": "one"}, {**job_input("[oom]"), "id": "two"}, job_input()]
    output = parse_output(await counter.take({"batch": items}))
    assert output.status == "partial"
    assert [item.status for item in output.items] == ["success", "error", "success"]
    assert [item.item_id for item in output.items] == ["one", "two", "item-2"]
    assert output.items[1].error.code == "E_OOM"
    assert "/item-2/" in output.items[2].video.key
    progress = [parse_progress(one) for one in counter.posted]
    assert [one.pct for one in progress] == sorted(one.pct for one in progress)
    places = [one.item_index for one in progress[1:]]  # the first is about the batch itself
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("change", "code", "reason", "words"),
    [
        (
            {"output_config": {"playlist": True}},
            "E_INPUT_VALIDATION",
            "not_available",
            "output_config.playlist",
        ),
        ({"preset": "fast-4"}, "E_INPUT_VALIDATION", "not_available", "input.preset"),
        ({"quant": "fp8"}, "E_INPUT_VALIDATION", "not_available", "input.quant"),
        ({"output_config": {"store": "s3"}}, "E_UPLOAD", "not_available", "s3"),
        ({"cond_video": "/etc/hostname"}, "E_INPUT_VALIDATION", "", "input.cond_video"),
        ({"cond_video": "http://127.0.0.1:9/"}, "E_INPUT_VALIDATION", "blocked", "cond_video"),
        ({"prompt": "[embedding]"}, "E_AUDIO_EMBEDDING", "unexpected", "gave up"),
        ({"speech_start_seconds": 0.9}, "E_INPUT_VALIDATION", "too_short", "input.speech_start"),
    ],
    ids=["feature", "preset", "quant", "s3", "path", "address", "embedding", "start"],
)
async def test_what_cannot_be_done_is_said_with_a_code(counter, change, code, reason, words):
    """The error names the field or the cause, and says what helps."""
    error = error_of(await counter.take({**job_input(), **change}))
    assert error.code == code
    assert error.reason.startswith(reason)
    assert words in error.message
    assert error.at_stage
    assert error.hint


async def test_speech_under_four_tenths_of_a_second_is_refused(counter):
    """The message names the field, what was needed and what came."""
    error = error_of(await counter.take(job_input(seconds=0.2)))
    assert (error.code, error.reason) == ("E_INPUT_VALIDATION", "too_short")
    assert "cond_audio.person1: needs at least 0.4 s of speech, got 0.20 s" in error.message


async def test_silence_is_valid_and_warned_of(counter):
    """A silent speech makes a video, and the result says that it was silent."""
    silent = {"person1": data_uri(tone(1.0, amplitude=0.0), "audio/wav")}
    output = parse_output(await counter.take(job_input(cond_audio=silent)))
    assert any("silent" in warning for warning in output.warnings)


async def test_what_teacache_skipped_is_told(counter):
    """The log counts skipped predictions; a job in which none was is warned."""
    job = job_input(use_teacache=True)
    told = parse_output(await counter.take({**job, "prompt": "[skip]"}, "a")).warnings
    assert not any("use_teacache" in warning for warning in told)
    lines = [json.loads(line) for line in counter.text.getvalue().splitlines()]
    (details,) = [line["details"] for line in lines if line["event"] == "muxing_started"]
    assert (details["skipped"], details["predictions"]) == (3, 8)
    told = parse_output(await counter.take(job, "b")).warnings
    assert any("use_teacache skipped nothing" in warning for warning in told)


async def test_two_speakers_reach_the_engine_one_by_one(counter):
    """Each speech goes to the engine as it is; the video is as long as the longer one."""
    both = {
        "person1": data_uri(tone(1.0), "audio/wav"),
        "person2": data_uri(tone(0.6), "audio/wav"),
    }
    output = parse_output(await counter.take(job_input(cond_audio=both)))
    assert [len(s.samples) for s in counter.engine.orders[0].speeches] == [16000, 9600]
    assert output.video.frames == 25


async def test_max_video_seconds_is_told_and_not_cut(tmp_path):
    """A video over the operator's bound is refused with what would fit."""
    counter = Counter(tmp_path, max_video_seconds=0.5)
    error = error_of(await counter.take(job_input()))
    counter.desk.close()
    assert (error.code, error.reason) == ("E_INPUT_VALIDATION", "too_long")
    assert "max_frame_num to 12" in error.message


async def test_an_estimate_that_cannot_fit_is_refused_before_sampling(counter):
    """A shape that was measured before tells how long the next job takes."""
    await counter.take(job_input())
    for shape in counter.bench.pace._seconds:
        counter.bench.pace._seconds[shape] = 1000.0
    error = error_of(await counter.take(job_input(deadline_seconds=60)))
    assert (error.code, error.reason) == ("E_TIMEOUT", "estimate")
    assert "12000 s" in error.message
    assert error.at_stage == "pipeline_warm"


async def test_cancelling_waits_for_the_thread_and_posts_nothing_more(counter):
    """When the task ends the GPU's thread has ended, and progress stops at once."""
    work = asyncio.ensure_future(counter.take(job_input("[slow]", sample_steps=300)))
    while not any("sampling" in one["stage"] for one in counter.posted):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    seen = len(counter.posted)
    assert counter.lines[-1]["details"]["code"] == "E_CANCELLED"
    assert list(counter.temporary.iterdir()) == []
    await asyncio.sleep(0.2)
    assert len(counter.posted) == seen
    assert parse_output(await counter.take(job_input())).status == "success"


async def test_a_worker_that_is_to_shut_down_refuses_new_jobs(counter):
    """A job that arrives after SIGTERM is answered with a retryable error at once."""
    counter.open().interrupt()
    error = error_of(await counter.take(job_input()))
    assert (error.code, error.retryable) == (ErrorCode.E_INTERRUPTED, True)


async def test_a_missing_engine_is_every_jobs_error(counter):
    """Where no check ran before, the job itself says which weights are missing."""
    from itk_worker.weights import WeightsError

    def none():
        raise WeightsError("CKPT_DIR is /no/such/folder, and there is no such folder")

    counter.open()._bench = none
    error = error_of(await counter.take(job_input()))
    assert (error.code, error.reason) == ("E_PIPELINE_LOAD", "missing_weights")
    assert "/no/such/folder" in error.message


async def test_a_progress_endpoint_that_is_down_does_not_stop_the_job(counter):
    """Posts that fail are logged and the result is there."""

    async def post(_progress):
        raise ConnectionError("refused")

    output = await counter.open().serve({"id": "x", "input": job_input()}, post=post)
    assert parse_output(output).status == "success"
    assert any(line["event"] == "progress_lost" for line in counter.lines)


def success(**more):
    """A finished job."""
    return JobSuccess(job_id="x", video=VideoArtifact(bytes=1), **more)


async def test_nan_never_leaves(counter):
    """A result that is not JSON becomes an error, since the platform would lose it."""
    error = error_of(counter.open().deliverable(success(params={"shift": float("nan")})))
    assert (error.code, error.reason) == ("E_GENERATION_RUNTIME", "not_json")


async def test_logs_are_dropped_before_a_result_is_refused(counter):
    """Only what is too large without its logs is an error."""
    counter.open()._output_limit_bytes = 2000
    logs = tuple({"event": "x" * 100} for _ in range(50))
    assert counter.desk.deliverable(success(logs=logs))["logs"] == []
    large = evolve(success(), warnings=("w" * 3000,))
    error = error_of(counter.desk.deliverable(large))
    assert (error.code, error.reason) == ("E_UPLOAD", "too_large")


async def test_a_jobs_input_may_be_anything(counter):
    """No input crashes the worker."""
    for strange in (None, [], "text", 7, {"batch": []}, {"prompt": float("nan")}, {"a": "\ud800"}):
        assert error_of(await counter.take(strange)).code == "E_INPUT_VALIDATION"


def test_folders_of_dead_workers_are_swept(tmp_path):
    """What a killed worker left is removed at the next start; a living one's stays."""
    mine = job_folder(tmp_path)
    dead = tmp_path / "itk-job-999999999-abc"
    dead.mkdir()
    living = tmp_path / "itk-job-1-abc"
    living.mkdir()
    assert sweep_folders(tmp_path) == 2
    assert not dead.exists()
    assert not mine.exists()
    assert living.exists()
