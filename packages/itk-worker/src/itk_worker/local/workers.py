"""Starts worker processes, restarts those that die, and leaves none behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, frozen

from itk_schema import ErrorCode, ErrorInfo, JobFailure, to_json

if TYPE_CHECKING:
    from .jobs import Job, JobStore

SWEEP_SECONDS = 0.5
STARTS_BEFORE_GIVING_UP = 2  # without a word; a worker that says why is believed at once
_CODE = re.compile(r"\bE_[A-Z_]+\b")


@frozen(kw_only=True)
class WorkerPlan:
    """What to start, how often, and how much time it gets."""

    command: tuple[str, ...]
    environment: Callable[[str], dict[str, str]]
    count: int = 1
    output: int | None = None  # file descriptor for what workers print; None inherits
    stop_seconds: float = 8.0  # between SIGTERM and SIGKILL
    overdue_seconds: float = 10.0  # a worker that still runs a timed-out job is killed after this
    restart_seconds: float = 1.0


@define(kw_only=True, eq=False)
class Worker:
    """One worker process and what it said of itself."""

    id: str
    process: Process
    ready: bool = False
    leaving: bool = False
    unhealthy: str | None = None


class Workers:
    """Keeps `plan.count` workers alive until told to stop."""

    def __init__(self, plan: WorkerPlan, store: JobStore) -> None:
        self._plan = plan
        self._store = store
        self._alive: dict[str, Worker] = {}
        self._broken: set[int] = set()  # slots whose worker cannot start
        self._stopping = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()
        self._serial = 0

    async def run(self) -> None:
        """Supervise until `stop`; then no process of ours is left."""
        slots = [self._keep_alive(slot) for slot in range(self._plan.count)]
        await asyncio.gather(self._keep_time(), *slots)

    def stop(self) -> None:
        """Ask every worker to end; `run` returns when they have."""
        self._stopping.set()

    # what workers say

    def may_take(self, worker_id: str) -> bool:
        """Whether this worker should get another job."""
        worker = self._alive.get(worker_id)
        return worker is None or not worker.leaving

    def note_ready(self, worker_id: str) -> None:
        """The worker asked for a job."""
        if worker := self._alive.get(worker_id):
            worker.ready = True

    def note_unhealthy(self, worker_id: str, reason: str) -> None:
        """The worker failed one of its own checks and is about to exit."""
        if worker := self._alive.get(worker_id):
            worker.unhealthy = reason

    def replace(self, worker_id: str) -> None:
        """Stop this worker; another takes its place."""
        if worker := self._alive.get(worker_id):
            worker.leaving = True
            self._errand(self._end(worker))

    def counts(self) -> dict[str, int]:
        """How many workers are in which of Runpod's six states."""
        alive = list(self._alive.values())
        running = sum(bool(self._store.of_worker(worker.id)) for worker in alive)
        ready = sum(worker.ready for worker in alive)
        return {
            "idle": max(0, ready - running),
            "initializing": len(alive) - ready,
            "ready": ready,
            "running": running,
            "throttled": 0,
            "unhealthy": len(self._broken),
        }

    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that live."""
        return tuple(worker.process.pid for worker in self._alive.values())

    # supervision

    async def _keep_alive(self, slot: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            worker = await self._start()
            code = await self._until_dead(worker)
            why = worker.unhealthy or f"it exited with code {code}"
            self._store.requeue_from(worker.id, why)
            if self._stopping.is_set():
                return
            failures = 0 if worker.ready else failures + 1
            if worker.unhealthy or failures >= STARTS_BEFORE_GIVING_UP:
                self._broken.add(slot)
                if len(self._broken) == self._plan.count:
                    self._store.fail_queued(lambda job, why=why: _cannot_start(job, why))
                    await self._job_or_stop()
            else:
                self._broken.discard(slot)
            await self._pause(self._plan.restart_seconds)

    async def _start(self) -> Worker:
        self._serial += 1
        worker_id = f"local-{self._serial}"
        process = await asyncio.create_subprocess_exec(
            *self._plan.command,
            env=self._plan.environment(worker_id),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._plan.output,
            stderr=self._plan.output,
            start_new_session=True,  # its heartbeat process dies with its group
        )
        worker = Worker(id=worker_id, process=process)
        self._alive[worker_id] = worker
        return worker

    async def _until_dead(self, worker: Worker) -> int:
        ended = asyncio.ensure_future(worker.process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(worker)
            return await ended
        finally:
            stopping.cancel()
            _kill_group(worker.process.pid)  # the heartbeat outlives a worker that was killed
            self._alive.pop(worker.id, None)

    async def _end(self, worker: Worker) -> None:
        with contextlib.suppress(ProcessLookupError):
            worker.process.terminate()
        try:
            await asyncio.wait_for(worker.process.wait(), self._plan.stop_seconds)
        except TimeoutError:
            _kill_group(worker.process.pid)

    async def _keep_time(self) -> None:
        while not self._stopping.is_set():
            for job in self._store.sweep():
                if job.worker_id:
                    self._errand(self._end_if_busy(job.worker_id))
            await self._pause(SWEEP_SECONDS)

    async def _end_if_busy(self, worker_id: str) -> None:
        worker = self._alive.get(worker_id)
        if worker is None:
            return
        worker.ready = False  # until it asks for work again
        await self._pause(self._plan.overdue_seconds)
        if worker_id in self._alive and not worker.ready:
            worker.ready = True  # it had started; its death is no failed start
            await self._end(worker)

    async def _job_or_stop(self) -> None:
        while not self._stopping.is_set() and self._store.count("IN_QUEUE") == 0:
            await self._pause(SWEEP_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _errand(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _cannot_start(job: Job, why: str) -> str:
    found = _CODE.search(why)
    code = (
        ErrorCode(found[0]) if found and found[0] in set(ErrorCode) else ErrorCode.E_PIPELINE_LOAD
    )
    message = f"no worker can start: {why}"
    error = ErrorInfo(code=code, message=message, reason="worker_not_ready", at_stage="start")
    return to_json(JobFailure(job_id=job.id, error=error))
