"""Proves weights, codecs and space before the worker takes a job."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

from .problems import explain

if TYPE_CHECKING:
    from collections.abc import Callable

    from .logs import Log
    from .real_engine import Loaded
    from .settings import Settings

CODECS = ("libx264", "aac")


@define
class NotReadyError(Exception):
    """The worker must not take jobs; the message begins with the error's code."""

    message: str

    def __str__(self) -> str:
        return self.message


class Boot:
    """How long the start took, which the first job is told."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._times = (0.0, 0.0)
        self._lock = threading.Lock()

    def ready(self, *, load_ms: float) -> float:
        """The start is over; returns its milliseconds."""
        with self._lock:
            cold_start_ms = 1000 * (time.monotonic() - self._began)
            self._times = (cold_start_ms, load_ms)
            return cold_start_ms

    def first_job(self) -> tuple[float, float]:
        """(cold_start_ms, load_ms) once, zeros afterwards."""
        with self._lock:
            times, self._times = self._times, (0.0, 0.0)
            return times


class Loading:
    """An engine that loads on a thread of its own while heavy imports go on beside it."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._loaded: Loaded | None = None
        self._error: BaseException | None = None
        self.load_ms = 0.0
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def result(self) -> Loaded:
        """The engine, waiting for it; raises what loading raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._loaded is not None  # noqa: S101  the thread ended without an error
        return self._loaded

    @property
    def error(self) -> BaseException | None:
        """Why loading failed, once it has."""
        self._thread.join()
        return self._error

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._loaded = self._load()
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            self._error = error
        self.load_ms = 1000 * (time.monotonic() - began)


def checks(settings: Settings, loading: Loading, log: Log) -> tuple[Callable[[], None], ...]:
    """What must hold before the first job, as functions that raise NotReadyError."""

    def weights() -> None:
        if loading.error is not None:
            info = explain(loading.error, at_stage="pipeline_warm", redactor=log.redactor)
            message = f"{info.code.value}: {info.message}"
            details = {"code": info.code.value, "message": info.message, "reason": info.reason}
            log.write("error", level="ERROR", details=details)
            raise NotReadyError(message)

    def codecs() -> None:
        import av

        missing = [name for name in CODECS if name not in av.codecs_available]
        if missing:
            message = f"E_FFMPEG: PyAV was built without {', '.join(missing)}"
            raise NotReadyError(message)

    def temporary_space() -> None:
        folder = settings.temp_dir or Path(tempfile.gettempdir())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"writable")
        except OSError as error:
            message = f"E_FFMPEG: the temporary folder {folder} cannot be written to: {error}"
            raise NotReadyError(message) from error
        free = shutil.disk_usage(folder).free
        if free < settings.min_free_bytes:
            message = (
                f"E_FFMPEG: the temporary folder {folder} has {free} bytes free, "
                f"needs {settings.min_free_bytes}"
            )
            raise NotReadyError(message)

    return (weights, codecs, temporary_space)
