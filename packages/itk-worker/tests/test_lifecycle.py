"""Workers that die, are told to stop, cannot start, or are left alone."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from worker_fakes import job_input

from itk_schema import parse_failure, parse_output
from itk_worker.local import Patience

HERE = Path(__file__).parent


def lives(pid):
    """Whether a process is there and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def group(pid):
    """Every living process of a worker's group: itself and the SDK's heartbeat."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == pid and lives(int(entry.name)):
                    found.append(int(entry.name))
    return found


def until(condition, seconds=20):
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def sampling(view):
    """Whether the job's latest progress is a sampling step."""
    return "_sampling_" in str(view.get("output"))


@pytest.fixture(scope="module")
def mortal(module_endpoint, tmp_path_factory):
    """An endpoint whose workers come and go; its first job that asks for it kills one."""
    marker = tmp_path_factory.mktemp("marker") / "died"
    return module_endpoint(extra_environment={"FAKE_MARKER": str(marker)})


def test_a_killed_workers_job_is_done_by_the_next_worker(mortal):
    """The job keeps its id, its keys and its result; the dead worker leaves no process."""
    job_id = mortal.submit(job_input("[die once]"))
    until(mortal.workers.pids)
    (first,) = mortal.workers.pids()
    view = mortal.wait(job_id)[-1]
    assert view["status"] == "COMPLETED"
    assert parse_output(view["output"]).job_id == job_id
    assert first not in mortal.workers.pids()
    assert mortal.http.get("/health").json()["jobs"]["retried"] == 1
    assert group(first) == []


@pytest.mark.long
def test_a_job_that_kills_every_worker_is_given_up(new_endpoint):
    """A poisonous job is handed out a bounded number of times."""
    endpoint = new_endpoint(patience=Patience(deliveries=2))
    view = endpoint.finish(job_input("[die]"))
    assert view["status"] == "FAILED"
    assert "2 times" in view["error"]


def test_sigterm_ends_the_job_with_a_retryable_error(mortal):
    """The running job says E_INTERRUPTED, the process ends soon, another takes its place."""
    job_id = mortal.submit(job_input("[slow]", sample_steps=500))
    mortal.wait(job_id, until=sampling)
    (pid,) = mortal.workers.pids()
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    view = mortal.wait(job_id)[-1]
    error = parse_failure(view["error"]).error
    assert (error.code, error.retryable) == ("E_INTERRUPTED", True)
    assert error.at_stage == "generation_sampling"
    until(lambda: group(pid) == [], seconds=5)
    assert time.monotonic() - began < 6
    until(lambda: mortal.workers.pids() not in {(), (pid,)})


@pytest.mark.long
def test_sigterm_ends_an_idle_worker_at_once(new_endpoint):
    """It does not wait for its open long polls, which would bring jobs that it cannot do."""
    endpoint = new_endpoint(patience=Patience(poll_seconds=60.0))
    until(lambda: endpoint.http.get("/health").json()["workers"]["ready"] == 1)
    (pid,) = endpoint.workers.pids()
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    until(lambda: group(pid) == [], seconds=5)
    assert time.monotonic() - began < 4


def test_missing_weights_reach_the_caller_and_name_the_path(new_endpoint):
    """A worker that cannot load takes no job; the waiting job learns why."""
    endpoint = new_endpoint(extra_environment={"FAKE_LOAD_ERROR": "1"})
    view = endpoint.finish(job_input())
    error = parse_failure(view["error"]).error
    assert view["status"] == "FAILED"
    assert (error.code, error.retryable) == ("E_PIPELINE_LOAD", False)
    assert "/no/such/folder" in error.message
    assert endpoint.http.get("/health").json()["workers"]["unhealthy"] == 1


@pytest.mark.long
def test_missing_weights_fail_a_test_run_too(run_fake_worker, tmp_path):
    """With --test_input @file the job itself says what is missing, and the exit status is 1."""
    from itk_schema import to_json

    (tmp_path / "job.json").write_text(to_json({"input": job_input()}))
    ended = run_fake_worker("--test_input", f"@{tmp_path / 'job.json'}", FAKE_LOAD_ERROR="1")
    assert ended.returncode == 1
    assert "E_PIPELINE_LOAD" in ended.stdout
    assert "/no/such/folder" in ended.stdout


def test_a_test_run_needs_no_endpoint(run_fake_worker, tmp_path):
    """--test_input @file runs one job and leaves its files on the volume."""
    from itk_schema import to_json

    (tmp_path / "job.json").write_text(to_json({"input": job_input()}))
    ended = run_fake_worker(f"--test_input=@{tmp_path / 'job.json'}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list(tmp_path.glob("infinitetalk/local_test/*.mp4"))


def test_a_wrong_test_input_is_explained(run_fake_worker):
    """A file that is not there ends the command with its name and no traceback."""
    ended = run_fake_worker("--test_input", "@/no/such/file.json")
    assert ended.returncode != 0
    assert "/no/such/file.json" in ended.stdout + ended.stderr


def test_a_limit_of_the_job_ends_it_with_a_coded_timeout(endpoint):
    """deadline_seconds less its margin is kept by the worker itself."""
    view = endpoint.finish(job_input("[slow]", sample_steps=100, deadline_seconds=4))
    error = parse_failure(view["error"]).error
    assert (error.code, error.reason) == ("E_TIMEOUT", "deadline")


@pytest.mark.long
def test_the_platforms_timeout_ends_a_job(new_endpoint):
    """policy.executionTimeout makes it TIMED_OUT, stops the worker's thread, frees the worker."""
    endpoint = new_endpoint()
    job = job_input("[slow]", sample_steps=900)
    view = endpoint.finish(job, policy={"executionTimeout": 5000})
    assert view["status"] == "TIMED_OUT"
    assert endpoint.finish(job_input())["status"] == "COMPLETED"


@pytest.mark.long
def test_the_sdks_own_server_works_with_our_worker(tmp_path):
    """--rp_serve_api --rp_api_port answers /runsync with the result."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RUNPOD_", "ITK_"))}
    env |= {"HOME": str(tmp_path), "ITK_VOLUME_DIR": str(tmp_path)}
    command = [sys.executable, str(HERE / "fake_worker.py"), "--rp_serve_api"]
    with subprocess.Popen([*command, "--rp_api_port", str(port)], env=env) as server:
        try:
            with httpx2.Client(base_url=f"http://localhost:{port}", trust_env=False) as http:
                until(lambda: answers(http), seconds=60)
                view = http.post("/runsync", json={"input": job_input()}, timeout=60).json()
        finally:
            server.terminate()
    assert view["status"] == "COMPLETED"
    assert parse_output(view["output"]).video.frames == 25


def answers(http):
    """Whether a server is there."""
    try:
        return http.get("/").status_code < 500
    except httpx2.TransportError:
        return False


def test_the_sdk_is_imported_without_another_interpreter():
    """Naming the processor, which the SDK does as it is imported, is not measured by a process."""
    code = """
import subprocess, sys

start = subprocess.Popen.__init__

def start_no_interpreter(self, command, *args, **kwargs):
    assert sys.executable not in command, command
    start(self, command, *args, **kwargs)

subprocess.Popen.__init__ = start_no_interpreter
from itk_worker.runpod_loop import import_runpod
from itk_worker.settings import Settings

import_runpod(Settings())
from runpod.serverless.utils.rp_debugger import PROCESSOR

print(PROCESSOR)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
