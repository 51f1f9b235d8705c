"""Follows one job from look to look: what is news, when to look again, when to give up."""

from __future__ import annotations

from attrs import field, frozen

from .errors import (
    BadReplyError,
    ConnectionFailedError,
    ItkError,
    NotFoundError,
    RateLimitedError,
    ResultExpiredError,
    ServerError,
    WaitTimeoutError,
)
from .events import Event, Finished, Progressed, Queued, Started, StateSeen, Unreachable
from .pacing import SDK_CADENCE, Cadence, RetryPolicy
from .protocol import JobState, JobStatus


@frozen(kw_only=True)
class Patience:
    """How long a watch lasts."""

    cadence: Cadence = SDK_CADENCE
    retry: RetryPolicy = field(factory=RetryPolicy)
    timeout_seconds: float | None = None
    """From the beginning of the watch; None waits as long as the job takes."""
    silence_seconds: float = 300.0
    """How long the endpoint may stay out of reach before the watch gives up."""


class Watch:
    """A state machine without I/O: `heard` and `failed` return news, `pause_seconds` the wait.

    Progress only rises within one attempt of a worker; a late report of an earlier step, or of
    the same one, is no news. Times are monotonic seconds.
    """

    def __init__(self, job_id: str, *, started: float, patience: Patience | None = None) -> None:
        self.job_id = job_id
        self.is_finished = False
        self._patience = patience or Patience()
        self._started = started
        self._state: str | None = None
        self._worker: str | None = None
        self._best: tuple[int, float] | None = None
        self._failures = 0
        self._silent_since: float | None = None
        self._next_pause: float | None = None

    def heard(self, status: JobStatus) -> tuple[Event, ...]:
        """The news in a successful look."""
        self._failures, self._silent_since, self._next_pause = 0, None, None
        if self.is_finished:
            return ()
        if status.is_finished:
            self.is_finished = True
            self._state = status.state
            return (Finished(job_id=self.job_id, status=status),)
        news = [*self._moved(status), *self._advanced(status)]
        self._state = status.state
        return tuple(news)

    def failed(self, error: ItkError, *, now: float, chance: float) -> tuple[Event, ...]:
        """The news in a failed look.

        Raises:
            ItkError: when looking again cannot help, or the endpoint was silent for too long.
        """
        if isinstance(error, NotFoundError):
            raise ResultExpiredError(job_id=self.job_id) from error
        passing = (ConnectionFailedError, ServerError, RateLimitedError, BadReplyError)
        if not isinstance(error, passing):
            raise error
        self._failures += 1
        self._silent_since = now if self._silent_since is None else self._silent_since
        pause = self._patience.retry.pause_seconds(self._failures, chance=chance)
        asked = error.retry_after_seconds if isinstance(error, RateLimitedError) else None
        if asked is not None:
            pause = max(pause, asked)
        too_long = asked is not None and asked > self._patience.retry.longest_retry_after_seconds
        if too_long or now - self._silent_since >= self._patience.silence_seconds:
            raise error
        self._next_pause = pause
        return (Unreachable(job_id=self.job_id, error=error, pause_seconds=pause),)

    def pause_seconds(self, *, now: float, chance: float) -> float:
        """Seconds until the next look.

        Raises:
            WaitTimeoutError: when the caller's time is over.
        """
        age = max(0.0, now - self._started)
        pause = self._next_pause
        if pause is None:
            pause = self._patience.cadence.pause_seconds(age, chance=chance)
        limit = self._patience.timeout_seconds
        if limit is None:
            return pause
        if age >= limit:
            raise WaitTimeoutError(
                job_id=self.job_id, seconds=age, state=str(self._state or "never")
            )
        return min(pause, limit - age)

    def _moved(self, status: JobStatus) -> tuple[Event, ...]:
        if status.state == JobState.IN_QUEUE:
            again = self._state == JobState.IN_PROGRESS
            if self._state == JobState.IN_QUEUE:
                return ()
            self._best, self._worker = None, None
            return (Queued(job_id=self.job_id, again=again),)
        if status.state == JobState.IN_PROGRESS:
            other = status.worker_id is not None and status.worker_id != self._worker
            if self._state == JobState.IN_PROGRESS and not (other and self._worker is not None):
                self._worker = status.worker_id or self._worker
                return ()
            self._best, self._worker = None, status.worker_id
            return (
                Started(
                    job_id=self.job_id,
                    worker_id=status.worker_id,
                    delay_seconds=status.delay_seconds,
                ),
            )
        if status.state == self._state:
            return ()
        return (StateSeen(job_id=self.job_id, state=str(status.state)),)

    def _advanced(self, status: JobStatus) -> tuple[Event, ...]:
        if status.state == JobState.IN_QUEUE:
            return ()
        progress = status.progress
        if progress is None:
            return ()
        place = (progress.seq or 0, progress.pct)
        if self._best is not None and (
            place[0] < self._best[0] or place[1] < self._best[1] or place == self._best
        ):
            return ()
        self._best = place
        return (Progressed(job_id=self.job_id, progress=progress),)
