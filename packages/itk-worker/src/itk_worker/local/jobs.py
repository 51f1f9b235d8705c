"""Keeps the jobs of a local endpoint and moves them through Runpod's states."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, field, frozen

from .policy import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
FINAL: frozenset[State] = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
RETRYABLE: frozenset[State] = frozenset({"FAILED", "TIMED_OUT"})
ABSENT: Any = object()  # "no output", which differs from an output of null


@frozen(kw_only=True)
class Patience:
    """How long the endpoint keeps, waits and tries; the defaults are Runpod's."""

    run_retention_seconds: float = 1800.0
    runsync_retention_seconds: float = 60.0
    poll_seconds: float = 25.0  # a long poll without news ends here
    deliveries: int = 3  # how often a job whose worker died is handed out at all


@define(kw_only=True, eq=False)
class Job:
    """One job and all that the platform knows about it; times are monotonic seconds."""

    id: str
    submission: Submission
    sync: bool
    created: float
    state: State = "IN_QUEUE"
    worker_id: str | None = None
    started: float | None = None
    finished: float | None = None
    output: Any = ABSENT
    error: str | None = None
    stream: list[Any] = field(factory=list)
    deliveries: int = 0
    retried: int = 0
    late_posts: int = 0  # progress or results that came after the end

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class JobStore:
    """All jobs of the endpoint; every method runs on the event loop's thread."""

    def __init__(
        self,
        patience: Patience | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_final: Callable[[Job], None] = lambda _job: None,
    ) -> None:
        self.patience = patience or Patience()
        self._clock = clock
        self._on_final = on_final
        self._jobs: dict[str, Job] = {}
        self._by_request: dict[str, str] = {}  # the caller's own id: ours
        self._queue: list[str] = []
        self._stops: dict[str, list[str]] = {}
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()
        self.ended: Counter[str] = Counter()
        self.retried = 0
        self.closed = False

    # what clients do

    def submit(self, submission: Submission, *, sync: bool = False) -> Job:
        """Queue a job, or find the one that its caller's request_id already names.

        One that failed or ran out of time is queued again; a cancelled one is made anew.
        """
        known = self._known(submission.request_id)
        if known is not None:
            self.retry(known)
            return known
        prefix, suffix = ("sync-", "") if sync else ("", "-u1")
        job = Job(
            id=f"{prefix}{uuid.uuid4()}{suffix}",
            submission=submission,
            sync=sync,
            created=self._clock(),
        )
        self._jobs[job.id] = job
        if submission.request_id is not None:
            self._by_request[submission.request_id] = job.id
        self._enqueue(job)
        return job

    def _known(self, request_id: str | None) -> Job | None:
        job = None if request_id is None else self.find(self._by_request.get(request_id, ""))
        return None if job is None or job.state == "CANCELLED" else job

    def find(self, job_id: str) -> Job | None:
        """The job, or None when it never was or is kept no longer."""
        self.sweep()
        return self._jobs.get(job_id)

    def cancel(self, job: Job) -> None:
        """End a job that has not ended; its worker is told to stop."""
        if not job.is_final:
            self._stop_on_worker(job)
            self._end(job, "CANCELLED")

    def retry(self, job: Job) -> bool:
        """Queue a failed job again under its id; False when its state does not allow that."""
        if job.state not in RETRYABLE:
            return False
        job.output, job.error, job.finished, job.started = ABSENT, None, None, None
        job.worker_id, job.deliveries = None, 0
        job.stream.clear()
        job.created = self._clock()
        job.retried += 1
        self.retried += 1
        self._enqueue(job)
        return True

    def purge(self) -> int:
        """Drop what is queued; returns how many jobs that were."""
        removed = [self._jobs[job_id] for job_id in self._queue]
        for job in removed:
            self._end(job, "CANCELLED")
        return len(removed)

    async def wait_final(self, job: Job, seconds: float) -> None:
        """Return when the job ends or the time is over."""
        await self._wait(lambda: job.is_final, seconds)

    # what workers do

    async def take(self, worker_id: str, *, count: int, seconds: float) -> list[Job]:
        """Up to `count` jobs for this worker; empty when none came in time."""
        await self._wait(lambda: bool(self._queue), seconds)
        if self.closed:
            return []
        self.sweep()
        taken = [self._jobs[job_id] for job_id in self._queue[:count]]
        for job in taken:
            self._queue.remove(job.id)
            job.state, job.worker_id, job.started = "IN_PROGRESS", worker_id, self._clock()
            job.deliveries += 1
        return taken

    async def stops(self, worker_id: str, *, seconds: float) -> list[str]:
        """The jobs that this worker must stop, waiting for one."""
        await self._wait(lambda: bool(self._stops.get(worker_id)), seconds)
        return self._stops.pop(worker_id, [])

    def progress(self, job: Job, output: Any) -> None:
        """Keep the latest progress of a running job."""
        if job.state == "IN_PROGRESS":
            job.output = output
        else:
            job.late_posts += 1

    def finish(self, job: Job, *, output: Any = ABSENT, error: str | None = None) -> None:
        """End a running job with what its worker posted."""
        if job.state != "IN_PROGRESS":
            job.late_posts += 1
            return
        job.output, job.error = output, error
        self._end(job, "COMPLETED" if error is None else "FAILED")

    def requeue_from(self, worker_id: str, why: str) -> None:
        """Give the jobs of a dead worker to the next one, a bounded number of times."""
        self._stops.pop(worker_id, None)
        for job in self.of_worker(worker_id):
            if job.deliveries >= self.patience.deliveries:
                job.output = ABSENT
                job.error = f"the worker died {job.deliveries} times while it ran this job: {why}"
                self._end(job, "FAILED")
            else:
                job.output, job.started, job.worker_id = ABSENT, None, None
                self.retried += 1
                self._enqueue(job, first=True)

    def fail_queued(self, error_of: Callable[[Job], str]) -> None:
        """End everything that waits: no worker can start."""
        for job in [self._jobs[job_id] for job_id in self._queue]:
            job.error = error_of(job)
            self._end(job, "FAILED")

    def of_worker(self, worker_id: str) -> list[Job]:
        """The jobs that this worker holds."""
        jobs = self._jobs.values()
        return [j for j in jobs if j.worker_id == worker_id and j.state == "IN_PROGRESS"]

    # time

    def sweep(self) -> list[Job]:
        """Let time pass: expire, time out, forget; returns jobs that ran over their time."""
        now = self._clock()
        overdue: list[Job] = []
        for job in list(self._jobs.values()):
            policy = job.submission
            if job.is_final:
                if now - (job.finished or now) > self._retention(job):
                    self._forget(job)
            elif now - job.created > policy.ttl_seconds:
                self._stop_on_worker(job)
                self._end(job, "TIMED_OUT")
                self._forget(job)
            elif job.started is not None and now - job.started > policy.execution_timeout_seconds:
                overdue.append(job)
                self._stop_on_worker(job)
                job.output = ABSENT
                job.error = (
                    f"the execution timeout of {policy.execution_timeout_seconds:g} s is over"
                )
                self._end(job, "TIMED_OUT")
        return overdue

    def count(self, state: State) -> int:
        """How many jobs are in this state now."""
        return sum(job.state == state for job in self._jobs.values())

    def unfinished(self) -> Iterator[Job]:
        """Jobs that wait or run."""
        return (job for job in list(self._jobs.values()) if not job.is_final)

    def delay_ms(self, job: Job) -> int:
        """How long the job waited in the queue."""
        return int(1000 * ((job.started or job.finished or self._clock()) - job.created))

    def execution_ms(self, job: Job) -> int:
        """How long the job has run."""
        if job.started is None:
            return 0
        return int(1000 * ((job.finished or self._clock()) - job.started))

    def close(self) -> None:
        """End every open long poll."""
        self.closed = True
        self._announce()

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        request_id = job.submission.request_id
        if request_id is not None and self._by_request.get(request_id) == job.id:
            del self._by_request[request_id]

    def _retention(self, job: Job) -> float:
        patience = self.patience
        return patience.runsync_retention_seconds if job.sync else patience.run_retention_seconds

    def _enqueue(self, job: Job, *, first: bool = False) -> None:
        job.state = "IN_QUEUE"
        self._queue.insert(0 if first else len(self._queue), job.id)
        self._announce()

    def _end(self, job: Job, state: State) -> None:
        if job.id in self._queue:
            self._queue.remove(job.id)
        job.state, job.finished = state, self._clock()
        if state == "CANCELLED":
            job.output = ABSENT
        self.ended[state] += 1
        self._on_final(job)
        self._announce()

    def _stop_on_worker(self, job: Job) -> None:
        if job.state == "IN_PROGRESS" and job.worker_id:
            self._stops.setdefault(job.worker_id, []).append(job.id)

    def _announce(self) -> None:
        task = asyncio.get_running_loop().create_task(self._wake())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, ready: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: ready() or self.closed)
        except TimeoutError:
            return
