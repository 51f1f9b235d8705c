"""Both clients against an endpoint in memory."""

import asyncio
import base64
import pickle
import wave

import httpx2
import pytest

from itk_client import (
    AsyncClient,
    AuthError,
    BatchResult,
    Client,
    Finished,
    ItkError,
    JobCancelledError,
    JobFailedError,
    JobState,
    JobTimedOutError,
    Progressed,
    Queued,
    RateLimitedError,
    Result,
    ResultExpiredError,
    ResultMissingError,
    Started,
    SubmitUnknownError,
    Unreachable,
    UploadRequiredError,
    ValidationError,
    WaitTimeoutError,
)
from itk_client.testing import API_KEY, FILES_URL, reply, served
from itk_schema import (
    DEFAULT_POLICY,
    Batch,
    ErrorCode,
    ErrorInfo,
    JobFailure,
    JobInput,
    JobRequest,
    dump,
    failure_output,
    parse_input,
    parse_json,
)


def sent(endpoint, number=0):
    """The body of the n-th submission."""
    runs = [one for one in endpoint.requests if one.url.path.endswith("/run")]
    return parse_json(runs[number].content)


def speech(path, seconds):
    """A WAV of silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\0\0" * int(16000 * seconds))
    return path


def test_a_job_from_submission_to_file(client, endpoint, job, tmp_path):
    """Submit, follow, download: events in order, files whole, the key on API requests only."""
    handle = client.submit(job)
    kinds = [type(event) for event in handle.events()]
    assert kinds == [Queued, Started, Progressed, Progressed, Finished]
    saved = handle.download(tmp_path, name="talk")
    assert saved.video == tmp_path / "talk.mp4"
    assert saved.video.read_bytes() == endpoint.files["video.mp4"]
    assert {path.name for path in tmp_path.iterdir()} == {"talk.mp4", "talk.jpg", "talk.json"}
    for request in endpoint.requests:
        carries_key = "authorization" in request.headers
        assert carries_key == (request.url.host == "fake.test")


async def test_the_same_for_asyncio(async_client, endpoint, job, tmp_path):
    """AsyncClient has the same names and gives the same."""
    handle = await async_client.submit(job)
    kinds = [type(event) async for event in handle.events()]
    assert kinds == [Queued, Started, Progressed, Progressed, Finished]
    saved = await handle.download(tmp_path, name="talk")
    assert saved.video.read_bytes() == endpoint.files["video.mp4"]
    assert (await async_client.health()).workers == {"idle": 1, "ready": 1}
    assert (await handle.cancel()).state == JobState.CANCELLED


def test_what_was_not_said_is_filled_in(client, endpoint, job):
    """Policy in milliseconds, the deadline inside the input, an id, and streaming for a URL."""
    handle = client.submit(job)
    body = sent(endpoint)
    assert body["policy"] == {"executionTimeout": 1_800_000, "ttl": 86_400_000}
    assert body["input"]["deadline_seconds"] == 1800
    assert body["input"]["mode"] == "streaming"
    assert body["input"]["request_id"] == handle.request_id
    assert handle.request_id


def test_what_was_said_stays(client, endpoint, job):
    """The caller's own values win over every default."""
    client.submit(
        {**job, "mode": "clip", "request_id": "mine", "deadline_seconds": 60},
        execution_timeout_seconds=90.5,
        ttl_seconds=3600,
        webhook="https://example.com/hook",
    )
    body = sent(endpoint)
    assert body["policy"] == {"executionTimeout": 90_500, "ttl": 3_600_000}
    assert body["webhook"] == "https://example.com/hook"
    assert body["input"]["mode"] == "clip"
    assert (body["input"]["request_id"], body["input"]["deadline_seconds"]) == ("mine", 60)


@pytest.mark.parametrize("kind", [JobInput, JobRequest])
def test_schema_values_are_jobs(client, endpoint, job, kind):
    """A JobInput and a JobRequest are sent as what they are."""
    value = parse_input(job)
    client.submit(value if kind is JobInput else JobRequest(input=value, policy=DEFAULT_POLICY))
    body = sent(endpoint)
    assert body["input"]["prompt"] == job["prompt"]
    assert body["policy"]["ttl"] == 86_400_000


def test_a_batch_carries_one_id_and_deadline(client, endpoint, job):
    """A batch is one request: its id and deadline stand beside the items."""
    client.submit(Batch(batch=(parse_input(job), parse_input(job))))
    body = sent(endpoint)["input"]
    assert body["request_id"]
    assert body["deadline_seconds"] == 1800
    assert [item["mode"] for item in body["batch"]] == ["streaming", "streaming"]
    assert "request_id" not in body["batch"][0]


@pytest.mark.parametrize(
    ("seconds", "more", "mode"),
    [
        (3.2, {}, None),
        (3.24, {}, None),
        (3.4, {}, "streaming"),
        (10, {"speech_start_seconds": 1, "speech_end_seconds": 3}, None),
        (10, {"frame_num": 401}, None),
        (2, {"tts": True}, "streaming"),
    ],
)
def test_streaming_is_chosen_by_length(client, endpoint, job, tmp_path, seconds, more, mode):
    """Speech longer than one chunk, or of unknown length, is streamed; shorter is left alone."""
    path = speech(tmp_path / "s.wav", seconds)
    more = dict(more)
    if more.pop("tts", False):
        job = {key: value for key, value in job.items() if key != "cond_audio"}
        job["tts_audio"] = {"text": "hello"}
    else:
        job["cond_audio"] = {"person1": str(path)}
    client.submit({**job, **more})
    assert sent(endpoint)["input"].get("mode") == mode


def test_two_speeches_after_each_other_add_up(client, endpoint, job, tmp_path):
    """With audio_type add the lengths add up; with para the longer counts."""
    two = {
        "person1": speech(tmp_path / "a.wav", 2),
        "person2": speech(tmp_path / "b.wav", 2),
    }
    client.submit({**job, "cond_audio": two, "audio_type": "para"})
    client.submit({**job, "cond_audio": two, "audio_type": "add"})
    assert "mode" not in sent(endpoint, 0)["input"]
    assert sent(endpoint, 1)["input"]["mode"] == "streaming"


def test_local_files_travel_inside(client, endpoint, job, tmp_path):
    """Files of this machine become data: URIs with their type."""
    picture = tmp_path / "face.png"
    picture.write_bytes(b"png bytes")
    client.submit({**job, "cond_video": picture})
    uri = sent(endpoint)["input"]["cond_video"]
    assert uri == "data:image/png;base64," + base64.b64encode(b"png bytes").decode()


def test_large_files_are_refused_before_sending(client, endpoint, job, tmp_path):
    """Over 7 MiB nothing is sent, and the error names sizes and the ways out."""
    big = tmp_path / "big.mp4"
    with big.open("wb") as file:
        file.truncate(8 * 1024 * 1024)
    with pytest.raises(UploadRequiredError, match=r"big\.mp4.*8\.4 MB.*https URL") as caught:
        client.submit({**job, "cond_video": str(big)})
    assert caught.value.total_bytes == 8 * 1024 * 1024
    assert endpoint.requests == []


def test_a_request_over_the_limit_is_refused(client, endpoint, job):
    """A request that is too large without any local file is refused as well."""
    job["cond_video"] = "data:image/png;base64," + "A" * (11 * 1024 * 1024)
    with pytest.raises(UploadRequiredError, match="inline files"):
        client.submit(job)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nobody.png", "an existing file"),
        ("./nobody", "an existing file"),
        ("empty", "which is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(client, endpoint, job, tmp_path, value, words):
    """A missing or empty file is the job's problem, with its place."""
    if value == "empty":
        path = tmp_path / "empty.png"
        path.touch()
        value = str(path)
    with pytest.raises(ValidationError, match=words) as caught:
        client.submit({**job, "cond_video": value})
    assert caught.value.problems[0].path == "input.cond_video"
    assert endpoint.requests == []


def test_a_path_on_the_volume_is_left_alone(client, endpoint, job):
    """Paths on the endpoint's volume are the worker's to read."""
    client.submit({**job, "cond_video": "/runpod-volume/in/face.png"})
    assert sent(endpoint)["input"]["cond_video"] == "/runpod-volume/in/face.png"


def test_all_problems_come_at_once(client, endpoint, job):
    """An invalid job is not sent; every problem has its place."""
    with pytest.raises(ValidationError) as caught:
        client.submit({**job, "sample_steps": True, "promt": "x", "frame_num": 80})
    assert {problem.path for problem in caught.value.problems} >= {
        "input.sample_steps",
        "input.promt",
        "input.frame_num",
    }
    assert isinstance(caught.value, ItkError)
    assert endpoint.requests == []


def test_seconds_are_refused_where_milliseconds_belong(client, job):
    """1800 in the wire's policy is answered with the number that was meant."""
    with pytest.raises(ValidationError, match="1800000"):
        client.submit({"input": job, "policy": {"executionTimeout": 1800}})


def test_a_lost_answer_is_not_submitted_again(client, endpoint, job):
    """A read timeout after POST /run raises SubmitUnknownError, after one request."""
    endpoint.faults = [httpx2.ReadTimeout("late")]
    with pytest.raises(SubmitUnknownError) as caught:
        client.submit({**job, "request_id": "mine"})
    assert caught.value.request_id == "mine"
    assert len(endpoint.requests) == 1


def test_a_refused_connection_is_tried_again(client, endpoint, job, fake_time):
    """A connection that never came about sends nothing, so the job is sent again."""
    endpoint.faults = [httpx2.ConnectError("refused"), reply(503, {}), reply(429, {})]
    client.submit(job)
    assert len(endpoint.jobs) == 1
    assert len(fake_time.sleeps) == 3


def test_a_429_with_a_date_is_waited_for(client, endpoint, job, fake_time):
    """Retry-After as a date is obeyed."""
    endpoint.faults = [
        httpx2.Response(
            429,
            headers={
                "Retry-After": "Sun, 01 Mar 2026 12:00:50 GMT",
                "Date": "Sun, 01 Mar 2026 12:00:00 GMT",
            },
        )
    ]
    client.submit(job)
    assert fake_time.sleeps == [50.0]


def test_a_huge_retry_after_fails(client, endpoint, job):
    """More than two minutes is the caller's decision."""
    endpoint.faults = [httpx2.Response(429, headers={"Retry-After": "3600"})]
    with pytest.raises(RateLimitedError, match="3600 s"):
        client.submit(job)


def test_a_watch_survives_an_outage(client, endpoint, job):
    """Looks that fail are events; the job is found again."""
    handle = client.submit(job)
    endpoint.faults = [
        httpx2.ReadError("reset"),
        httpx2.Response(502, text="<html>", headers={"Content-Type": "text/html"}),
        reply(200, {"unexpected": True}),
    ]
    kinds = [type(event) for event in handle.events()]
    assert kinds[:3] == [Unreachable] * 3
    assert kinds[-1] is Finished


def test_a_job_that_is_gone(client):
    """404 means that the endpoint does not keep the job any more, for every question."""
    handle = client.job("unknown")
    for ask in (handle.status, handle.result, handle.cancel, handle.retry):
        with pytest.raises(ResultExpiredError, match="unknown"):
            ask()


def test_waiting_ends_in_time(client, endpoint, job):
    """WaitTimeoutError comes after the time given, and names the state."""
    endpoint.script = [{"status": "IN_QUEUE"}]
    with pytest.raises(WaitTimeoutError, match="IN_QUEUE") as caught:
        client.submit(job).wait(timeout_seconds=60)
    assert caught.value.seconds == pytest.approx(60, abs=1)


def failed_with(**facts):
    """The last look at a job that failed in this way."""
    facts["code"] = ErrorCode(facts["code"])
    failure = JobFailure(job_id="x", error=ErrorInfo(**facts))
    return {"status": "FAILED", **failure_output(failure)}


def test_a_coded_failure_arrives_whole(client, endpoint, job):
    """The worker's code, stage and hint are fields of the exception and in its text."""
    endpoint.script = [
        failed_with(
            code="E_OOM", message="too little memory", at_stage="generation_sampling", reason="vram"
        )
    ]
    with pytest.raises(JobFailedError) as caught:
        client.generate(job)
    error = caught.value
    assert (error.code, error.at_stage, error.reason) == ("E_OOM", "generation_sampling", "vram")
    assert not error.retryable
    assert "too little memory" in str(error)
    assert error.hint in str(error)


@pytest.mark.parametrize(
    ("look", "kind"),
    [
        ({"status": "CANCELLED"}, JobCancelledError),
        ({"status": "TIMED_OUT"}, JobTimedOutError),
        ({"status": "COMPLETED"}, ResultMissingError),
        ({"status": "COMPLETED", "output": None}, ResultMissingError),
        ({"status": "COMPLETED", "output": {}}, ResultMissingError),
        ({"status": "FAILED", "error": "worker exploded"}, JobFailedError),
        ({"status": "FAILED"}, JobFailedError),
        ({"status": "FAILED", "error": {"a": 1}}, JobFailedError),
        (failed_with(code="E_CANCELLED", message="stopped"), JobCancelledError),
    ],
)
def test_every_other_end_is_its_own_error(client, endpoint, job, look, kind):
    """Ends without a result are typed, whoever reported them."""
    endpoint.script = [look]
    with pytest.raises(kind):
        client.generate(job)


def test_a_foreign_traceback_is_not_shown(client, endpoint, job):
    """Of an exception that the SDK of the platform reports, the message is kept, not the trace."""
    text = '{"error_type":"<class ValueError>","error_message":"bad","error_traceback":"/secret/x"}'
    endpoint.script = [{"status": "FAILED", "error": text}]
    with pytest.raises(JobFailedError, match="bad") as caught:
        client.generate(job)
    assert "/secret" not in repr(caught.value) + str(caught.value)


def test_a_batch_gives_results_and_errors(client, endpoint, job):
    """Of a batch every item has its result or its error."""
    good = endpoint.completed()["output"]
    bad = dump(
        JobFailure(job_id="x", error=ErrorInfo(code=ErrorCode.E_OOM, message="m"), item_id="b")
    )
    output = {"job_id": "x", "status": "partial", "items": [{**good, "item_id": "a"}, bad]}
    endpoint.script = [{"status": "COMPLETED", "output": output}]
    result = client.generate({"batch": [job, job]})
    assert isinstance(result, BatchResult)
    first, second = result.items
    assert isinstance(first, Result)
    assert isinstance(second, JobFailedError)


def test_a_result_without_an_address_says_where_it_is(client, endpoint, job, tmp_path):
    """On a volume that nothing serves, the error names the path."""
    look = endpoint.completed()
    look["output"]["video"].update(url=None, path="/runpod-volume/x/video.mp4")
    endpoint.script = [look]
    with pytest.raises(ItkError, match=r"/runpod-volume/x/video\.mp4"):
        client.generate(job).video.download(tmp_path)


def test_an_inline_result_is_saved(client, endpoint, job, tmp_path):
    """A data: URI is written like any other file."""
    look = endpoint.completed(b"inline")
    look["output"]["video"]["url"] = "data:video/mp4;base64," + base64.b64encode(b"inline").decode()
    endpoint.script = [look]
    assert client.generate(job).video.download(tmp_path / "v.mp4").read_bytes() == b"inline"


def test_retry_and_cancel(client, job):
    """The other verbs reach the endpoint and return the new state."""
    handle = client.submit(job)
    assert handle.retry().state == JobState.IN_QUEUE
    assert handle.cancel().state == JobState.CANCELLED
    assert handle.status().state == JobState.CANCELLED
    assert client.health().workers["idle"] == 1


def test_ctrl_c_cancels_a_generation(client, endpoint, job):
    """generate() asks for the cancellation before it passes the interrupt on."""

    def interrupt(event):
        if isinstance(event, Progressed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.generate(job, on_event=interrupt)
    assert endpoint.urls()[-1] == "POST /v2/fake/cancel/fake-0-u1"


async def test_a_cancelled_task_cancels_its_job(async_client, endpoint, job):
    """Cancelling an asyncio task that generates cancels the job on the endpoint."""
    endpoint.script = [{"status": "IN_QUEUE"}]
    task = asyncio.create_task(async_client.generate(job))
    while len(endpoint.requests) < 3:  # noqa: ASYNC110  the fake has no event to wait for
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "POST /v2/fake/cancel/fake-0-u1" in endpoint.urls()


def test_redirects_of_the_api_are_not_followed(client, endpoint, job):
    """An answer that sends us elsewhere is an error: the key stays here."""
    away = httpx2.Response(307, headers={"Location": "https://evil.test/v2/fake/run"})
    endpoint.faults = [away]
    with pytest.raises(ItkError, match="redirected"):
        client.submit(job)
    assert {request.url.host for request in endpoint.requests} == {"fake.test"}


def test_a_huge_answer_is_cut_off(client, endpoint, job):
    """An answer without end is stopped at the cap."""

    def flood():
        for _ in range(64):
            yield b"[" * (1 << 20)

    handle = client.submit(job)
    endpoint.faults = [httpx2.Response(200, content=flood())]
    with pytest.raises(ItkError, match="longer than"):
        handle.status()


def test_secrets_are_in_no_text(client, endpoint, job):
    """The key and signatures of URLs are in no repr, text or pickle of an error."""
    endpoint.faults = [reply(401, {"error": f"key {API_KEY} at {FILES_URL}x?signature=s3cr3t"})]
    with pytest.raises(AuthError) as caught:
        client.submit(job)
    result = client.generate(job)
    texts = [repr(client), repr(caught.value), str(caught.value), repr(result.video)]
    texts += [repr(client.settings), repr(client.submit(job)), repr(client._courier)]
    for text in texts:
        assert API_KEY not in text
        assert "s3cr3t" not in text
        assert "signature" not in text


def test_signed_addresses_are_not_logged(endpoint, job, tmp_path, caplog):
    """What the HTTP library logs about a download has no signature in it."""
    caplog.set_level("DEBUG")
    endpoint.takes_uploads = True
    with served(endpoint) as base_url, Client(base_url=base_url) as client:
        client.generate(job).video.download(tmp_path)
    assert "video.mp4" in caplog.text
    assert "signature" not in caplog.text


def test_errors_survive_pickling():
    """An error that crosses a process keeps its facts."""
    error = JobFailedError(job_id="a", message="m", code="E_OOM", retryable=True)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (again.job_id, again.code, again.retryable, str(again)) == (
        "a",
        "E_OOM",
        True,
        str(error),
    )


def test_a_key_does_not_travel_in_the_open():
    """An http address that is not this machine's is refused while there is a key."""
    with pytest.raises(ItkError, match="unencrypted"):
        Client("e", api_key="k", base_url="http://example.com/v2")


def test_uploads_to_an_endpoint_on_this_machine(endpoint, job, tmp_path, fake_time):
    """Where the endpoint is local and takes files, they are put there, whatever their size."""
    endpoint.takes_uploads = True
    big = tmp_path / "my face (1).mp4"
    with big.open("wb") as file:
        file.truncate(9 * 1024 * 1024)
    with httpx2.Client(transport=endpoint.transport) as http:
        local = Client(base_url="http://127.0.0.1:9/v2", http_client=http, clock=fake_time.clock())
        local.submit({**job, "cond_video": big})
        place = sent(endpoint)["input"]["cond_video"]
        assert place.startswith("/runpod-volume/incoming/")
        assert place.endswith("-my-face-1.mp4")
        assert len(endpoint.files[place.removeprefix("/runpod-volume/")]) == 9 * 1024 * 1024
        endpoint.takes_uploads = False
        small = tmp_path / "s.png"
        small.write_bytes(b"x")
        local.submit({**job, "cond_video": small})
        assert sent(endpoint, 1)["input"]["cond_video"].startswith("data:image/png;base64,")


async def test_uploads_of_the_async_client(endpoint, job, tmp_path):
    """The async client puts files in the same way."""
    endpoint.takes_uploads = True
    face = tmp_path / "face.png"
    face.write_bytes(b"png")
    async with httpx2.AsyncClient(transport=endpoint.transport) as http:
        local = AsyncClient(base_url="http://127.0.0.1:9/v2", http_client=http)
        await local.submit({**job, "cond_video": face})
    assert sent(endpoint)["input"]["cond_video"].startswith("/runpod-volume/incoming/")
