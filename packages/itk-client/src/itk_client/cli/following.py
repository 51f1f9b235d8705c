"""Follows a job on the screen: Ctrl-C once cancels it, twice leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from itk_client.errors import ItkError, WaitTimeoutError
from itk_client.events import Finished
from itk_client.protocol import JobState, JobStatus

from .exits import InterruptedJobError, LeftError

if TYPE_CHECKING:
    from itk_client.job import Job, OnEvent
    from itk_client.results import BatchResult, Result

    from .screen import Screen


def follow(
    job: Job,
    screen: Screen,
    *,
    timeout_seconds: float | None = None,
    on_event: OnEvent | None = None,
) -> JobStatus:
    """The job's end.

    Raises:
        InterruptedJobError: when the person cancelled the job.
        LeftError: when the person left it.
    """
    was_asked = False
    while True:
        try:
            status = _watch(job, screen, timeout_seconds=timeout_seconds, on_event=on_event)
        except KeyboardInterrupt:
            if was_asked:
                raise LeftError(job_id=job.id) from None
            was_asked = True
            screen.say(f"cancelling job {job.id}; Ctrl-C again leaves it")
            try:
                _cancel(job, screen)
            except KeyboardInterrupt:
                raise LeftError(job_id=job.id) from None
        else:
            if was_asked and status.state == JobState.CANCELLED:
                raise InterruptedJobError(job_id=job.id)
            return status


def describe(result: Result | BatchResult, status: JobStatus | None = None) -> dict[str, Any]:
    """A result as one JSON object, with what the endpoint says about its time."""
    facts = result.to_dict()
    if status is not None:
        facts["endpoint"] = {
            "state": str(status.state),
            "delay_seconds": status.delay_seconds,
            "execution_seconds": status.execution_seconds,
        }
    return facts


def status_object(status: JobStatus) -> dict[str, Any]:
    """A look at a job as one JSON object."""
    facts: dict[str, Any] = {
        "job_id": status.job_id,
        "state": str(status.state),
        "is_finished": status.is_finished,
        "delay_seconds": status.delay_seconds,
        "execution_seconds": status.execution_seconds,
        "worker_id": status.worker_id,
        "progress": None,
    }
    progress = status.progress
    if progress is not None:
        facts["progress"] = {"stage": progress.stage, "pct": progress.pct, "seq": progress.seq}
    if status.state == JobState.FAILED:
        facts["error"] = status.error
    return facts


def _watch(
    job: Job, screen: Screen, *, timeout_seconds: float | None, on_event: OnEvent | None
) -> JobStatus:
    for event in job.events(timeout_seconds=timeout_seconds):
        if on_event:
            on_event(event)
        screen.show(event)
        if isinstance(event, Finished):
            return event.status
    raise WaitTimeoutError(job_id=job.id, seconds=0.0, state="never")


def _cancel(job: Job, screen: Screen) -> None:
    try:
        job.cancel()
    except ItkError as error:
        screen.say(f"it could not be cancelled: {error}")
