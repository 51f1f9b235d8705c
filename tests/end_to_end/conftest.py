"""A real endpoint with a real worker, for tests of the whole path."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from attrs import frozen

from itk_client import Client

START_SECONDS = 180


@frozen
class Endpoint:
    """A local endpoint that listens, and where it leaves its files."""

    url: str
    volume: Path
    log: Path

    def client(self) -> Client:
        """Return a client of this endpoint."""
        base_url, _, name = self.url.rpartition("/")
        return Client(name, base_url=base_url, api_key="test")


@pytest.fixture(scope="session")
def start_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Endpoint]]:
    """Return a function that starts one more endpoint, with environment variables of its own."""
    with ExitStack() as running:

        def start(environment: Mapping[str, str] | None = None) -> Endpoint:
            folder = tmp_path_factory.mktemp("endpoint")
            return running.enter_context(_endpoint(folder, environment or {}))

        yield start


@pytest.fixture(scope="session")
def endpoint(start_endpoint: Callable[..., Endpoint]) -> Endpoint:
    """Return an endpoint with a worker on the tiny model, shared by all tests of a process."""
    return start_endpoint()


@contextmanager
def _endpoint(folder: Path, environment: Mapping[str, str]) -> Iterator[Endpoint]:
    log = folder / "endpoint.log"
    command = [sys.executable, "-m", "itk_worker.local", "--port", "0", "--volume", folder / "vol"]
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log_file,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        said = process.stdout.readline()
        timer.cancel()
        assert said, log.read_text()
        yield Endpoint(url=json.loads(said)["url"], volume=folder / "vol", log=log)
    finally:
        timer.cancel()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
