"""Lets a running job be stopped from outside, at its next step."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Callable

StopReason = Literal["cancelled", "interrupted", "deadline"]


@define
class JobStoppedError(Exception):
    """The job must end now: its caller, the platform or the clock says so."""

    reason: StopReason
    limit_seconds: float | None = None

    def __str__(self) -> str:
        words = {
            "cancelled": "the job was cancelled",
            "interrupted": "the worker was told to shut down while the job ran",
            "deadline": f"the job's time limit of {self.limit_seconds or 0:g} s is used up",
        }
        return words[self.reason]


class StopSwitch:
    """One job's stop signal; any thread sets it, the job looks at it between steps.

    The clock starts when the switch is made. `limit_seconds` counts from then; None is no limit.
    """

    def __init__(
        self,
        *,
        limit_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._started = clock()
        self._limit_seconds = limit_seconds
        self._reason: StopReason | None = None
        self._set = threading.Event()

    def stop(self, reason: StopReason) -> None:
        """Ask the job to end; the first reason counts."""
        if self._reason is None:
            self._reason = reason
        self._set.set()

    def limit_to(self, seconds: float | None) -> None:
        """Give the job at most `seconds` since it began; None changes nothing."""
        if seconds is not None:
            known = self._limit_seconds
            self._limit_seconds = seconds if known is None else min(known, seconds)

    @property
    def is_set(self) -> bool:
        """Whether someone asked the job to end."""
        return self._set.is_set()

    @property
    def left_seconds(self) -> float | None:
        """Time until the limit, or None without one."""
        if self._limit_seconds is None:
            return None
        return self._limit_seconds - (self._clock() - self._started)

    def check(self) -> None:
        """Go on, or raise.

        Raises:
            JobStoppedError: somebody asked the job to end, or its time is used up.
        """
        if self._reason is not None:
            raise JobStoppedError(self._reason)
        left = self.left_seconds
        if left is not None and left <= 0:
            raise JobStoppedError("deadline", limit_seconds=self._limit_seconds)
