"""Writes the worker's log: one JSON object a line, redacted."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from .redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}
KEPT_EVENTS = 200


class Log:
    """Lines of `{"ts", "level", "job_id", "event", "details", "lat_ms"}`, from any thread."""

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        level: str = "INFO",
        redactor: Redactor | None = None,
    ) -> None:
        self._stream = stream
        self._lowest = LEVELS[level]
        self.redactor = redactor or Redactor()
        self._lock = threading.Lock()

    def write(
        self,
        event: str,
        *,
        level: str = "INFO",
        job_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        lat_ms: int | None = None,
    ) -> dict[str, Any]:
        """Write one line and return what it says; keys without a value are left out."""
        entry: dict[str, Any] = {"ts": _now(), "level": level}
        if job_id is not None:
            entry["job_id"] = self.redactor.text(job_id, limit=200)
        entry["event"] = event
        if details:
            entry["details"] = self.redactor.mapping(details)
        if lat_ms is not None:
            entry["lat_ms"] = lat_ms
        if LEVELS[level] >= self._lowest:
            line = json.dumps(entry, ensure_ascii=False, allow_nan=False)
            with self._lock:
                stream = self._stream or sys.stdout
                stream.write(line + "\n")
                stream.flush()
        return entry

    def for_job(self, job_id: str) -> JobLog:
        """The log of one job."""
        return JobLog(log=self, job_id=job_id)

    def take_over_logging(self) -> None:
        """Send the warnings of every library here, so that the output is JSON lines only.

        Importing runpod configures the root logger; hence the force.
        """
        logging.basicConfig(level=logging.WARNING, handlers=[_Bridge(self)], force=True)
        logging.captureWarnings(capture=True)


class JobLog:
    """One job's lines, the last of which it remembers for progress and the result."""

    def __init__(self, *, log: Log, job_id: str) -> None:
        self._log = log
        self.job_id = job_id
        self.events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)

    @property
    def redactor(self) -> Redactor:
        """What this log hides."""
        return self._log.redactor

    def write(
        self,
        event: str,
        *,
        level: str = "INFO",
        details: Mapping[str, Any] | None = None,
        lat_ms: int | None = None,
    ) -> None:
        """Write one line for this job."""
        entry = self._log.write(
            event, level=level, job_id=self.job_id, details=details, lat_ms=lat_ms
        )
        entry.pop("job_id", None)
        self.events.append(entry)

    def last(self, count: int = 5) -> list[dict[str, Any]]:
        """The last `count` lines, oldest first."""
        return list(self.events)[-count:]


class _Bridge(logging.Handler):
    """Turns a library's log record into one of our lines."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = "WARN" if record.levelno < logging.ERROR else "ERROR"
        if record.levelno < logging.WARNING:
            level = "INFO"
        details: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            details["cause_class"] = record.exc_info[0].__name__
        self._log.write("library", level=level, details=details)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
