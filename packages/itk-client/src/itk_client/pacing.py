"""Decides how long to wait: between looks at a job and before a request is repeated."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from attrs import field, frozen

LONGEST_RETRY_AFTER_SECONDS = 120.0
"""A server that asks for more than this is reported instead of waited for."""


def _positive(_instance: object, attribute: object, value: float) -> None:
    if not value > 0:
        message = f"{getattr(attribute, 'name', 'value')} must be positive, got {value}"
        raise ValueError(message)


@frozen(kw_only=True)
class Cadence:
    """How often to look at a job, by how long it has been watched."""

    ladder: tuple[tuple[float, float], ...]
    """(from this age in seconds, wait this many seconds), ages rising from 0."""
    jitter: float = 0.2
    """Waits vary by this share to both sides, so that many clients do not march in step."""

    def pause_seconds(self, age_seconds: float, *, chance: float) -> float:
        """Seconds until the next look; `chance` in [0, 1) places it inside the jitter."""
        wait = self.ladder[0][1]
        for since, seconds in self.ladder:
            if age_seconds >= since:
                wait = seconds
        return wait * (1 + self.jitter * (2 * chance - 1))


SDK_CADENCE = Cadence(ladder=((0, 1.0), (10, 2.0), (60, 5.0), (600, 10.0)))
PAGE_CADENCE = Cadence(ladder=((0, 2.0), (60, 5.0), (600, 10.0)), jitter=0.0)
LOCAL_CADENCE = Cadence(ladder=((0, 0.25), (60, 1.0)), jitter=0.0)


@frozen(kw_only=True)
class RetryPolicy:
    """How often, and how patiently, a failed request is repeated."""

    tries: int = field(default=5, validator=_positive)
    first_seconds: float = field(default=0.5, validator=_positive)
    longest_seconds: float = field(default=16.0, validator=_positive)
    longest_retry_after_seconds: float = LONGEST_RETRY_AFTER_SECONDS

    def pause_seconds(self, failures: int, *, chance: float) -> float:
        """Seconds after the n-th failure in a row (n from 1): doubling, half of it by chance."""
        steps = min(max(failures, 1) - 1, 32)
        full = min(self.first_seconds * 2**steps, self.longest_seconds)
        return full * (0.5 + 0.5 * chance)


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """What Retry-After asks for, in seconds from now; None when absent or unreadable.

    A date is compared with the server's own Date header where there is one, so that a wrong
    clock on this machine does not matter.
    """
    asked = _header(headers, "retry-after")
    if asked is None:
        return None
    if asked.isascii() and asked.isdigit():
        return float(asked)
    when = _date(asked)
    if when is None:
        return None
    reference = _date(_header(headers, "date") or "") or now or datetime.now(UTC)
    return max(0.0, (when - reference).total_seconds())


def _header(headers: Mapping[str, str], name: str) -> str | None:
    for key, value in headers.items():
        if key.lower() == name:
            return value.strip()
    return None


def _date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


@frozen(kw_only=True)
class Clock:
    """Time as the clients see it; tests pass their own."""

    now: Callable[[], float] = time.monotonic
    """Seconds that only ever rise; the wall clock is never asked."""
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    async def sleep_async(self, seconds: float) -> None:
        """Let other tasks run for this many seconds."""
        if self.sleep is time.sleep:
            await asyncio.sleep(seconds)
        else:
            self.sleep(seconds)
            await asyncio.sleep(0)
