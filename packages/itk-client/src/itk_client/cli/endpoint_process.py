"""Runs the local endpoint as a process beside this one, and takes it down again."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import queue
import signal
import subprocess  # noqa: TID251  the one process that the command line starts
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, Self

from attrs import field, frozen

from itk_client.errors import EndpointProcessError
from itk_schema import parse_json

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_TAIL_BYTES = 3000


@frozen(kw_only=True)
class EndpointCommand:
    """What to start, and where it keeps its files and its log."""

    volume: Path
    port: int = 0
    workers: int = 1
    log: Path | None = None
    """None leaves its log on this process's stderr."""
    program: tuple[str, ...] = (sys.executable, "-m", "itk_worker.local")
    start_seconds: float = field(default=_START_SECONDS)

    def arguments(self) -> list[str]:
        """The command line."""
        return [
            *self.program,
            "--port",
            str(self.port),
            "--volume",
            str(self.volume),
            "--workers",
            str(self.workers),
            "--until-stdin-ends",
        ]


@frozen(kw_only=True)
class Address:
    """Where the endpoint listens."""

    base_url: str
    endpoint_id: str


class EndpointProcess:
    """The endpoint while a `with` lasts; `address` is known once it listens."""

    def __init__(self, command: EndpointCommand) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._lines: queue.Queue[bytes | None] = queue.Queue()

    def __enter__(self) -> Self:
        require_worker(self._command)
        self._command.volume.mkdir(parents=True, exist_ok=True)
        if self._command.log is not None:
            self._command.log.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._command.log.open("wb")
        # Its own session: Ctrl-C at the terminal reaches only us, who ask for the cancellation.
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and arguments
            self._command.arguments(),
            stdin=subprocess.PIPE,  # ends with us, however we end, and the endpoint with it
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        threading.Thread(target=self._read_lines, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's number; 0 before and after it."""
        return self._process.pid if self._process else 0

    def address(self) -> Address:
        """Where it listens, after waiting for that.

        Raises:
            EndpointProcessError: when it ends or says nothing for too long.
        """
        end = time.monotonic() + self._command.start_seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=min(left, 0.2))
                found = _listening(line)
                if found is not None:
                    return found
        self.check()
        message = f"the local endpoint did not listen within {self._command.start_seconds:.0f} s"
        raise self._error(message)

    def check(self) -> None:
        """Raise EndpointProcessError if the process is no more."""
        code = self._process.poll() if self._process else None
        if code is not None:
            how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
            raise self._error(f"the local endpoint ended {how}")

    def wait(self) -> int:
        """The exit code, after waiting for the end."""
        return 0 if self._process is None else self._process.wait()

    def stop(self) -> None:
        """End it and everything that it started, kindly and then not."""
        process = self._process
        if process is None:
            return
        self._process = None
        try:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
        finally:
            _kill_group(process)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            if self._log is not None:
                self._log.close()

    def _error(self, message: str) -> EndpointProcessError:
        path = self._command.log
        if path is None:
            return EndpointProcessError(message=message)
        return EndpointProcessError(message=f"{message}; its log: {path}", log_tail=log_tail(path))

    def _read_lines(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with contextlib.suppress(ValueError, OSError):
            for line in process.stdout:
                self._lines.put(line)


def require_worker(command: EndpointCommand) -> None:
    """Raise EndpointProcessError if the worker is not installed beside the client."""
    module = command.program[-1].partition(".")[0] if "-m" in command.program else None
    if module and importlib.util.find_spec(module) is None:
        message = "the demo runs the worker on this machine; install itk-worker"
        raise EndpointProcessError(message=message)


def log_tail(path: Path) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _listening(line: bytes | None) -> Address | None:
    try:
        said: Any = parse_json(line or b"")
    except ValueError:
        return None
    if not isinstance(said, dict) or said.get("event") != "listening":
        return None
    base_url, _, endpoint_id = str(said.get("url", "")).rstrip("/").rpartition("/")
    return Address(base_url=base_url, endpoint_id=endpoint_id)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
