"""A handle of one job: look, wait, cancel, fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import evolve, field, frozen

from .errors import ItkError, NotFoundError, ResultExpiredError, WaitTimeoutError
from .events import Event, Finished
from .protocol import (
    ApiRequest,
    JobStatus,
    Reply,
    cancel_request,
    parse_job_status,
    retry_request,
    status_request,
)
from .results import BatchResult, Result, SavedFiles, result_of
from .sending import ONE_TRY
from .watch import Patience, Watch

if TYPE_CHECKING:
    from .downloads import OnBytes, Source
    from .pacing import Clock, RetryPolicy

OnEvent = Callable[[Event], None]


class Endpoint(Protocol):
    """What a handle needs of a client."""

    clock: Clock
    patience: Patience

    def send(self, request: ApiRequest, *, retry: RetryPolicy | None = None) -> Reply:
        """The endpoint's agreement to a request."""
        ...

    def fetch(self, source: Source, target: Path, on_bytes: OnBytes | None = None) -> Path:
        """Bring a file."""
        ...


@frozen(kw_only=True)
class Job:
    """A job on an endpoint. It holds no state of its own: `client.job(id)` is as good."""

    id: str
    request_id: str | None = None
    _client: Endpoint = field(repr=False, eq=False)

    def status(self) -> JobStatus:
        """One look at the job.

        Raises:
            ResultExpiredError: when the endpoint does not know it any more.
        """
        try:
            return self._look()
        except NotFoundError as error:
            raise ResultExpiredError(job_id=self.id) from error

    def events(self, *, timeout_seconds: float | None = None) -> Iterator[Event]:
        """What happens to the job, each thing once, until it is finished.

        Raises:
            WaitTimeoutError: when it is not finished in time; the job goes on.
        """
        client = self._client
        patience = evolve(client.patience, timeout_seconds=timeout_seconds)
        watch = Watch(self.id, started=client.clock.now(), patience=patience)
        while True:
            try:
                status = self._look(once=True)
            except ItkError as error:
                chance = client.clock.chance()
                yield from watch.failed(error, now=client.clock.now(), chance=chance)
            else:
                yield from watch.heard(status)
            if watch.is_finished:
                return
            pause = watch.pause_seconds(now=client.clock.now(), chance=client.clock.chance())
            client.clock.sleep(pause)

    def watch(self, on_event: OnEvent, *, timeout_seconds: float | None = None) -> JobStatus:
        """Call `on_event` with each event until the job is finished, and return its end."""
        for event in self.events(timeout_seconds=timeout_seconds):
            on_event(event)
            if isinstance(event, Finished):
                return event.status
        raise WaitTimeoutError(job_id=self.id, seconds=0.0, state="never")

    def wait(self, *, timeout_seconds: float | None = None) -> JobStatus:
        """The job's end, however it ended."""
        return self.watch(lambda _event: None, timeout_seconds=timeout_seconds)

    def result(
        self, *, timeout_seconds: float | None = None, on_event: OnEvent | None = None
    ) -> Result | BatchResult:
        """What the job made, after waiting for it.

        Raises:
            JobError: the kind that says how it ended, when it left no result.
        """
        end = self.watch(on_event or (lambda _event: None), timeout_seconds=timeout_seconds)
        return result_of(end, fetch=self._client.fetch)

    def download(
        self,
        folder: str | Path = ".",
        *,
        name: str | None = None,
        on_bytes: OnBytes | None = None,
        timeout_seconds: float | None = None,
    ) -> SavedFiles:
        """Wait for the job and bring video, thumbnail and metadata into a folder."""
        result = self.result(timeout_seconds=timeout_seconds)
        if isinstance(result, BatchResult):
            message = "a batch has many videos: download each of result().items"
            raise TypeError(message)
        return save(result, Path(folder), name=name, on_bytes=on_bytes)

    def cancel(self) -> JobStatus:
        """Ask the endpoint to stop the job; the worker stops at its next step."""
        try:
            reply = self._client.send(cancel_request(self.id))
        except NotFoundError as error:
            raise ResultExpiredError(job_id=self.id) from error
        return parse_job_status(reply, job_id=self.id)

    def retry(self) -> JobStatus:
        """Queue the failed or timed-out job again, under the same id."""
        try:
            reply = self._client.send(retry_request(self.id))
        except NotFoundError as error:
            raise ResultExpiredError(job_id=self.id) from error
        return parse_job_status(reply, job_id=self.id)

    def _look(self, *, once: bool = False) -> JobStatus:
        request = status_request(self.id)
        reply = self._client.send(request, retry=ONE_TRY if once else None)
        return parse_job_status(reply, job_id=self.id)


def save(
    result: Result, folder: Path, *, name: str | None = None, on_bytes: OnBytes | None = None
) -> SavedFiles:
    """Download every file of a result into a folder."""
    artifacts = result.files()
    targets = result.targets(folder, name=name)
    saved = {
        kind: artifacts[kind].download(target, on_bytes=on_bytes if kind == "video" else None)
        for kind, target in targets.items()
    }
    return SavedFiles(**saved)
