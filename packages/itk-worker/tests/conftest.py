"""A local endpoint with real worker processes around a fake engine."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from itk_worker.local import EndpointOptions, Patience, serve  # noqa: E402

FAKE_WORKER = (sys.executable, str(HERE / "fake_worker.py"))


class RunningEndpoint:
    """An endpoint on a thread of this process, and a client for it."""

    no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading certificates takes 0.2 s a client

    def __init__(self, options):
        self._options = options
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10), "the endpoint did not start"
        self.http = httpx2.Client(
            base_url=self.listening.url, timeout=40, trust_env=False, verify=self.no_tls
        )
        return self

    def __exit__(self, *_):
        self.http.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the endpoint did not stop"

    def _run(self):
        async def main():
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(self._options, on_listening=self._on_listening, stop=self._stop)

        asyncio.run(main())

    def _on_listening(self, listening):
        self.listening = listening
        self._ready.set()

    @property
    def store(self):
        """The endpoint's jobs."""
        return self.listening.store

    @property
    def workers(self):
        """The endpoint's workers."""
        return self.listening.workers

    def submit(self, job, **more):
        """Queue a job; its id."""
        reply = self.http.post("/run", json={"input": job, **more})
        assert reply.status_code == 200, reply.text
        return reply.json()["id"]

    def status(self, job_id):
        """What /status says."""
        reply = self.http.get(f"/status/{job_id}")
        assert reply.status_code == 200, reply.text
        return reply.json()

    def wait(self, job_id, *, until=lambda view: view["status"] not in WAITING, seconds=40):
        """Poll until something holds; returns every different view on the way."""
        views, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            view = self.status(job_id)
            if not views or view.get("output") != views[-1].get("output") or until(view):
                views.append(view)
            if until(view):
                return views
            time.sleep(0.02)
        pytest.fail(f"waited {seconds} s in vain; the job is {view}")

    def finish(self, job, **more):
        """Submit, wait, return the last view."""
        return self.wait(self.submit(job, **more))[-1]


WAITING = {"IN_QUEUE", "IN_PROGRESS"}


@contextlib.contextmanager
def running(volume, **options):
    """An endpoint with fake workers, whose log goes to a file beside the volume."""
    with (volume.parent / f"{volume.name}.log").open("ab") as log:
        chosen = EndpointOptions(
            **{
                "volume": volume,
                "command": FAKE_WORKER,
                "worker_output": log.fileno(),
                "patience": Patience(poll_seconds=5.0),
                **options,
            }
        )
        with RunningEndpoint(chosen) as endpoint:
            endpoint.log_path = Path(log.name)
            yield endpoint


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """One endpoint with one worker for every test that leaves both alive."""
    volume = tmp_path_factory.mktemp("endpoint") / "volume"
    small = {"ITK_OUTPUT_LIMIT_BYTES": "800000"}
    with running(volume, extra_environment=small) as one:
        yield one


@pytest.fixture
def new_endpoint(tmp_path):
    """Makes endpoints of a test's own."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(tmp_path / "volume", **options))


@pytest.fixture(scope="module")
def module_endpoint(tmp_path_factory):
    """Makes endpoints that the tests of a module share."""
    with contextlib.ExitStack() as stack:

        def make(**options):
            volume = tmp_path_factory.mktemp("shared") / "volume"
            return stack.enter_context(running(volume, **options))

        yield make


@pytest.fixture
def log_lines():
    """Reads the JSON lines of an endpoint's workers."""

    def read(endpoint):
        lines = []
        for line in endpoint.log_path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    return read


@pytest.fixture
def run_fake_worker(tmp_path):
    """Runs the worker as a plain command, outside any endpoint."""

    def run(*arguments, **environment):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("RUNPOD_", "ITK_"))}
        env |= {"HOME": str(tmp_path), "ITK_VOLUME_DIR": str(tmp_path), **environment}
        return subprocess.run(
            [*FAKE_WORKER, *arguments], env=env, capture_output=True, text=True, timeout=60
        )

    return run
