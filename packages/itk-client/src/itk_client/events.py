"""What a person who watches a job hears, in the order in which it can happen."""

from __future__ import annotations

from attrs import frozen

from itk_schema import Progress

from .errors import ItkError
from .protocol import JobStatus


@frozen(kw_only=True)
class Queued:
    """The job waits for a worker; `again` after it had already been with one."""

    job_id: str
    again: bool = False


@frozen(kw_only=True)
class Started:
    """A worker took the job; another `worker_id` later means that it starts over."""

    job_id: str
    worker_id: str | None = None
    delay_seconds: float | None = None


@frozen(kw_only=True)
class Progressed:
    """The worker is further than before."""

    job_id: str
    progress: Progress


@frozen(kw_only=True)
class StateSeen:
    """The endpoint uses a word that this version does not know; the watch goes on."""

    job_id: str
    state: str


@frozen(kw_only=True)
class Unreachable:
    """A look failed and will be repeated."""

    job_id: str
    error: ItkError
    pause_seconds: float


@frozen(kw_only=True)
class Finished:
    """The last event: the job will not change any more."""

    job_id: str
    status: JobStatus


Event = Queued | Started | Progressed | StateSeen | Unreachable | Finished
