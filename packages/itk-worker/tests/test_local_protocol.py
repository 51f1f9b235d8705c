"""The local endpoint as clients and workers see it, played by hand."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from itk_worker.local import Patience
from itk_worker.local.jobs import JobStore
from itk_worker.local.policy import RefusedRequestError, read_submission
from itk_worker.local.settings import LocalAddress, worker_environment
from itk_worker.local.webhooks import Webhooks

JOB = {"prompt": "x"}
SAY_TOKEN = ("/bin/sh", "-c", 'printf %s "$RUNPOD_AI_API_KEY" > "$TOKEN_FILE"; exec sleep 1000')


class Played:
    """An endpoint whose worker is this test."""

    def __init__(self, endpoint, token):
        self.endpoint, self.http = endpoint, endpoint.http
        self.worker = httpx2.Client(
            base_url=endpoint.listening.url,
            headers={"Authorization": token},
            timeout=20,
            trust_env=False,
            verify=endpoint.no_tls,
        )

    def take(self, worker="w"):  # noqa: D102
        return self.worker.get(f"/job-take/{worker}?gpu=x&job_in_progress=0")

    def done(self, job_id, body, worker="w"):  # noqa: D102
        return self.worker.post(
            f"/job-done/{worker}/{job_id}?gpu=x&isStream=false",
            content=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )


@pytest.fixture
def play(new_endpoint, tmp_path):
    """Starts an endpoint and learns its workers' key from the environment of one."""
    players = []

    def start(**options):
        file = tmp_path / "token"
        environment = {"TOKEN_FILE": str(file)}
        patience = options.pop("patience", Patience(poll_seconds=0.3))
        endpoint = new_endpoint(
            command=SAY_TOKEN, extra_environment=environment, patience=patience, **options
        )
        deadline = time.monotonic() + 5
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        players.append(Played(endpoint, file.read_text()))
        return players[-1]

    yield start
    for player in players:
        player.worker.close()


def test_a_job_goes_through_the_states_of_the_platform(play):
    """Queued, taken, in progress with its progress as output, completed with its result."""
    played = play()
    sent = played.http.post("/run", json={"input": JOB, "s3Config": {"bucketName": "b"}}).json()
    assert sent["status"] == "IN_QUEUE"
    assert played.endpoint.status(sent["id"])["status"] == "IN_QUEUE"
    taken = played.take()
    assert taken.json() == {"id": sent["id"], "input": JOB, "s3Config": {"bucketName": "b"}}
    progress = {"status": "IN_PROGRESS", "output": {"type": "progress", "pct": 5}}
    assert played.done(sent["id"], progress).status_code == 200
    view = played.endpoint.status(sent["id"])
    assert (view["status"], view["output"]["pct"], view["workerId"]) == ("IN_PROGRESS", 5, "w")
    assert played.done(sent["id"], {"output": {"a": 1}}).status_code == 200
    view = played.endpoint.status(sent["id"])
    assert (view["status"], view["output"]) == ("COMPLETED", {"a": 1})
    assert {"delayTime", "executionTime"} <= set(view)
    played.done(sent["id"], progress)
    assert played.endpoint.status(sent["id"])["status"] == "COMPLETED"
    assert played.endpoint.store.find(sent["id"]).late_posts == 1


def test_an_empty_queue_answers_204_after_the_long_poll(play):
    """Both long polls end without news; a second take of the same worker meets 429."""
    played = play(patience=Patience(poll_seconds=0.6))
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        first, stop = pool.submit(played.take), pool.submit(played.worker.get, "/job-stop/w?gpu=x")
        time.sleep(0.3)
        assert played.take().status_code == 429
        assert first.result().status_code == stop.result().status_code == 204
    assert time.monotonic() - began >= 0.6


def test_a_waiting_worker_gets_a_job_at_once(play):
    """The long poll ends when a job comes."""
    played = play(patience=Patience(poll_seconds=10.0))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(played.take)
        time.sleep(0.2)
        began = time.monotonic()
        job_id = played.endpoint.submit(JOB)
        assert waiting.result().json()["id"] == job_id
    assert time.monotonic() - began < 2


def test_a_job_is_not_lost_with_a_worker_that_hung_up(play):
    """A poll that nobody listens to any more takes nothing."""
    played = play(patience=Patience(poll_seconds=10.0))
    with pytest.raises(httpx2.TimeoutException):
        played.worker.get("/job-take/gone?gpu=x", timeout=0.3)
    time.sleep(0.2)
    job_id = played.endpoint.submit(JOB)
    assert played.take("other").json()["id"] == job_id


def test_several_jobs_are_taken_at_once(play):
    """job-take-batch gives a list of as many as are wanted and there."""
    played = play()
    ids = [played.endpoint.submit(JOB) for _ in range(3)]
    taken = played.worker.get("/job-take-batch/w?gpu=x&batch_size=2").json()
    assert [job["id"] for job in taken] == ids[:2]


def test_cancelling_tells_the_worker_which_job_to_stop(play):
    """A queued job is gone at once; a running one is named on the stop channel."""
    played = play()
    queued, running = played.endpoint.submit(JOB), None
    assert played.http.post(f"/cancel/{queued}").json() == {"id": queued, "status": "CANCELLED"}
    running = played.endpoint.submit(JOB)
    assert played.take().json()["id"] == running
    played.http.post(f"/cancel/{running}")
    assert played.worker.get("/job-stop/w?gpu=x").json() == {"jobsToStop": [running]}
    assert played.done(running, {"output": 1}).status_code == 200
    assert played.endpoint.status(running)["status"] == "CANCELLED"


def test_an_error_fails_the_job_and_only_then_it_can_be_retried(play):
    """The error is kept as the worker's text; /retry queues the same id and input again."""
    played = play()
    job_id = played.endpoint.submit(JOB)
    assert played.http.post(f"/retry/{job_id}").status_code == 400
    played.take()
    played.done(job_id, {"error": '{"status":"error"}'})
    view = played.endpoint.status(job_id)
    assert (view["status"], view["error"]) == ("FAILED", '{"status":"error"}')
    assert played.http.post(f"/retry/{job_id}").json()["status"] == "IN_QUEUE"
    assert played.take().json() == {"id": job_id, "input": JOB}
    assert played.http.get("/health").json()["jobs"]["retried"] == 1


def test_a_result_over_the_limit_is_completed_without_output(play):
    """What the platform does to careless workers: 400 for them, no output for the client."""
    played = play()
    job_id = played.endpoint.submit(JOB)
    played.take()
    assert played.done(job_id, {"output": "x" * (10 * 1024 * 1024)}).status_code == 400
    view = played.endpoint.status(job_id)
    assert view["status"] == "COMPLETED"
    assert "output" not in view


def test_a_result_with_nan_is_refused_and_the_job_hangs(play):
    """The platform takes strict JSON only; the job stays in progress."""
    played = play()
    job_id = played.endpoint.submit(JOB)
    played.take()
    assert played.done(job_id, b'{"output": NaN}').status_code == 400
    assert played.endpoint.status(job_id)["status"] == "IN_PROGRESS"


def test_runsync_waits_and_answers_whatever_there_is(play):
    """The result if it comes in time, else the state; the wait has bounds."""
    played = play()

    def work():
        job = played.take().json()
        played.done(job["id"], {"output": {"done": True}})

    thread = threading.Thread(target=work)
    thread.start()
    view = played.http.post("/runsync", json={"input": JOB}).json()
    thread.join()
    assert view["id"].startswith("sync-")
    assert (view["status"], view["output"]) == ("COMPLETED", {"done": True})
    assert (
        played.http.post("/runsync?wait=1000", json={"input": JOB}).json()["status"] == "IN_QUEUE"
    )
    assert played.http.post("/runsync?wait=500", json={"input": JOB}).status_code == 400


def test_what_is_unknown_is_404_and_what_is_wrong_is_400(play):
    """Unknown ids, bodies that are no JSON or too large, inputs that are no objects."""
    played = play()
    for path in ("/status/x", "/stream/x"):
        assert played.http.get(path).status_code == 404
    for path in ("/cancel/x", "/retry/x"):
        assert played.http.post(path).status_code == 404
    for body in (
        b"{",
        b"[1]",
        b'{"input": 3}',
        b'{"input": {}}',
        b'{"input": {"a": NaN}}',
        b"\xff",
    ):
        assert played.http.post("/run", content=body).status_code == 400
    large = b'{"input": {"a": "' + b"x" * (10 * 1024 * 1024) + b'"}}'
    assert played.http.post("/run", content=large).status_code == 400
    assert played.http.post("/purge-queue").json() == {"removed": 0, "status": "completed"}


def test_a_policy_in_seconds_is_refused_with_what_was_meant():
    """Milliseconds within the platform's bounds, nothing else."""
    good = read_submission({"input": JOB, "policy": {"executionTimeout": 1800000, "ttl": 86400000}})
    assert (good.execution_timeout_seconds, good.ttl_seconds) == (1800, 86400)
    with pytest.raises(RefusedRequestError, match="did you mean 1800000"):
        read_submission({"input": JOB, "policy": {"executionTimeout": 1800}})
    for value in (True, "10000", 5.5, 10**12, -1):
        with pytest.raises(RefusedRequestError):
            read_submission({"input": JOB, "policy": {"ttl": value}})


async def test_the_same_request_id_is_the_same_job_while_it_is_kept():
    """A failed one is queued again under its id; a cancelled or forgotten one is made anew."""
    now = [1.0]
    store = JobStore(Patience(run_retention_seconds=100), clock=lambda: now[0])
    asked = read_submission({"input": {**JOB, "request_id": "r-1"}})
    job = store.submit(asked)
    assert store.submit(asked) is job
    assert store.count("IN_QUEUE") == 1
    assert store.submit(read_submission({"input": JOB})) is not job
    await store.take("w", count=2, seconds=1)
    assert store.submit(asked) is job
    store.finish(job, error="it failed")
    assert (store.submit(asked), job.state) == (job, "IN_QUEUE")
    await store.take("w", count=1, seconds=1)
    store.finish(job, output=1)
    assert (store.submit(asked), job.state) == (job, "COMPLETED")
    now[0] = 102.0
    later = store.submit(asked)
    assert later is not job
    store.cancel(later)
    assert store.submit(asked) is not later


async def test_jobs_expire_time_out_and_are_forgotten():
    """Ttl counts from submission, the timeout from the start, retention from the end."""
    now = [0.0]
    store = JobStore(Patience(run_retention_seconds=100), clock=lambda: now[0])
    policy = {"executionTimeout": 5000, "ttl": 10_000}
    waiting = store.submit(read_submission({"input": JOB, "policy": policy}))
    now[0] = 11.0
    assert store.find(waiting.id) is None
    running = store.submit(read_submission({"input": JOB, "policy": policy}))
    assert await store.take("w", count=1, seconds=1) == [running]
    now[0] = 17.0
    assert [job.id for job in store.sweep()] == [running.id]
    assert running.state == "TIMED_OUT"
    assert await store.stops("w", seconds=1) == [running.id]
    now[0] = 118.0
    assert store.find(running.id) is None


def test_only_local_callers_with_the_key_are_answered(play):
    """Foreign hosts and web pages are refused, so are wrong keys of clients and workers."""
    played = play(api_key="secret")
    assert played.http.get("/health").status_code == 401
    key = {"Authorization": "Bearer secret"}
    assert played.http.get("/health", headers=key).status_code == 200
    assert played.http.get("/health", headers=key | {"Host": "evil.example"}).status_code == 403
    foreign = key | {"Origin": "https://evil.example"}
    assert played.http.post("/run", json={"input": JOB}, headers=foreign).status_code == 403
    local = key | {"Origin": "http://127.0.0.1:7860"}
    assert played.http.post("/run", json={"input": JOB}, headers=local).status_code == 200
    assert played.http.get("/job-take/w?gpu=x", headers=key).status_code == 401


def test_files_are_served_with_ranges_and_nothing_beyond_the_volume(play):
    """Ranges work; parents, links out and bad names do not."""
    played = play()
    files = played.endpoint.listening.files_url
    volume = played.endpoint.log_path.parent / "volume"
    (volume / "a").mkdir(parents=True)
    (volume / "a" / "x.mp4").write_bytes(bytes(range(100)))
    (volume / "out").symlink_to("/etc")
    part = played.http.get(f"{files}a/x.mp4", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["x-content-type-options"] == "nosniff"
    for path in ("out/hostname", "..%2f..%2fetc/hostname", "a", "a/"):
        assert played.http.get(f"{files}{path}").status_code == 404
    kept = played.http.put(f"{files}incoming/speech-1.wav", content=b"RIFF")
    assert kept.json()["path"] == str(volume.resolve() / "incoming" / "speech-1.wav")
    assert played.http.get(kept.json()["url"]).content == b"RIFF"
    for name in (".hidden", "a%2fb", "a b"):
        assert played.http.put(f"{files}incoming/{name}", content=b"x").status_code in {
            400,
            404,
            405,
        }


def test_a_webhook_is_told_the_status(play):
    """The body is what /status says; an answer other than 200 is tried again."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    told, answers = [], [500, 200]

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(answers[len(told) - 1])
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        played = play(webhooks=Webhooks(pause_seconds=0.05))
        url = f"http://127.0.0.1:{server.server_port}/hook"
        job_id = played.endpoint.submit(JOB, webhook=url)
        played.take()
        played.done(job_id, {"output": 5})
        deadline = time.monotonic() + 5
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        server.shutdown()
    assert len(told) == 2
    assert b'"status": "COMPLETED"' in told[1]


def test_a_worker_sees_the_platforms_environment_and_no_secrets_of_its_user(tmp_path):
    """The user's keys stay out, caches stay where they are, HOME is empty."""
    address = LocalAddress(
        url="http://127.0.0.1:1/v2/local",
        files_url="http://127.0.0.1:1/files/",
        token="t",  # noqa: S106  of this test
        volume=tmp_path,
        home=tmp_path / "home",
    )
    own = {"RUNPOD_API_KEY": "k", "S3_SECRET_KEY": "s", "HOME": "/home/me", "CKPT_DIR": "/w"}
    made = worker_environment(address, "local-1", own)
    assert not {"RUNPOD_API_KEY", "S3_SECRET_KEY"} & set(made)
    assert made["CKPT_DIR"] == "/w"
    assert made["HOME"] == str(tmp_path / "home")
    assert made["XDG_CACHE_HOME"] == "/home/me/.cache"
    assert made["RUNPOD_POD_ID"] == "local-1"
    assert all("?" in value for name, value in made.items() if "WEBHOOK" in name)
