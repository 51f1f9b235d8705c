"""Runpod's client API: run, runsync, status, stream, cancel, retry, purge-queue, health."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from starlette.responses import Response
from starlette.routing import Route

from .bodies import NotJsonError, TooLargeError, answer, parse_json, read_body, refusal
from .jobs import ABSENT, Job, JobStore
from .policy import RefusedRequestError, read_submission

if TYPE_CHECKING:
    from starlette.requests import Request

RUN_LIMIT_BYTES = 10 * 1024 * 1024
RUNSYNC_LIMIT_BYTES = 20 * 1024 * 1024
WAIT_MS = (1_000, 300_000)
DEFAULT_WAIT_MS = 90_000


@frozen(kw_only=True)
class ClientApi:
    """The routes that clients of one endpoint call."""

    store: JobStore
    worker_counts: Callable[[], dict[str, int]]
    api_key: str | None = None

    def routes(self, base: str) -> list[Route]:
        """Routes below `base`, such as /v2/local."""
        return [
            Route(f"{base}/run", self.run, methods=["POST"]),
            Route(f"{base}/runsync", self.runsync, methods=["POST"]),
            Route(f"{base}/status/{{id}}", self.status, methods=["GET", "POST"]),
            Route(f"{base}/stream/{{id}}", self.stream, methods=["GET", "POST"]),
            Route(f"{base}/cancel/{{id}}", self.cancel, methods=["POST"]),
            Route(f"{base}/retry/{{id}}", self.retry, methods=["POST"]),
            Route(f"{base}/purge-queue", self.purge, methods=["POST"]),
            Route(f"{base}/health", self.health, methods=["GET"]),
        ]

    async def run(self, request: Request) -> Response:
        """Queue a job and answer its id."""
        job = await self._submitted(request, limit_bytes=RUN_LIMIT_BYTES, sync=False)
        return job if isinstance(job, Response) else answer({"id": job.id, "status": job.state})

    async def runsync(self, request: Request) -> Response:
        """Queue a job and answer its status when it ends or the wait is over."""
        wait_ms = _whole(request.query_params.get("wait"), default=DEFAULT_WAIT_MS)
        if wait_ms is None or not WAIT_MS[0] <= wait_ms <= WAIT_MS[1]:
            return refusal(f"wait: needed {WAIT_MS[0]}..{WAIT_MS[1]} milliseconds", 400)
        job = await self._submitted(request, limit_bytes=RUNSYNC_LIMIT_BYTES, sync=True)
        if isinstance(job, Response):
            return job
        await self.store.wait_final(job, wait_ms / 1000)
        return answer(self._view(job))

    async def status(self, request: Request) -> Response:
        """Where a job stands; the output of a running job is its latest progress."""
        job = self._job(request)
        return job if isinstance(job, Response) else answer(self._view(job))

    async def stream(self, request: Request) -> Response:
        """What a generator job yielded since the last call."""
        job = self._job(request)
        if isinstance(job, Response):
            return job
        chunks = list(job.stream)
        job.stream.clear()
        return answer({"status": job.state, "stream": chunks})

    async def cancel(self, request: Request) -> Response:
        """End a job."""
        job = self._job(request)
        if isinstance(job, Response):
            return job
        self.store.cancel(job)
        return answer({"id": job.id, "status": job.state})

    async def retry(self, request: Request) -> Response:
        """Queue a failed job again, under the same id and with the same input."""
        job = self._job(request)
        if isinstance(job, Response):
            return job
        if not self.store.retry(job):
            return refusal(
                f"only FAILED and TIMED_OUT jobs can be retried, this is {job.state}", 400
            )
        return answer({"id": job.id, "status": job.state})

    async def purge(self, request: Request) -> Response:
        """Drop every queued job."""
        refused = self._unauthorised(request)
        return refused or answer({"removed": self.store.purge(), "status": "completed"})

    async def health(self, request: Request) -> Response:
        """How many jobs and workers are in which state."""
        refused = self._unauthorised(request)
        if refused:
            return refused
        store = self.store
        jobs = {
            "completed": store.ended["COMPLETED"],
            "failed": store.ended["FAILED"] + store.ended["TIMED_OUT"],
            "inProgress": store.count("IN_PROGRESS"),
            "inQueue": store.count("IN_QUEUE"),
            "retried": store.retried,
        }
        return answer({"jobs": jobs, "workers": self.worker_counts()})

    async def _submitted(self, request: Request, *, limit_bytes: int, sync: bool) -> Job | Response:
        refused = self._unauthorised(request)
        if refused:
            return refused
        try:
            body = await read_body(request, limit_bytes=limit_bytes)
            return self.store.submit(read_submission(parse_json(body)), sync=sync)
        except TooLargeError as error:
            return refusal(str(error), 400)
        except (NotJsonError, RefusedRequestError) as error:
            return refusal(str(error), 400)

    def _job(self, request: Request) -> Job | Response:
        refused = self._unauthorised(request)
        if refused:
            return refused
        job = self.store.find(request.path_params["id"])
        return job or refusal("job not found: it never was here or is kept no longer", 404)

    def _unauthorised(self, request: Request) -> Response | None:
        if self.api_key is None:
            return None
        shown = request.headers.get("authorization", "")
        if shown.removeprefix("Bearer ") == self.api_key:
            return None
        return refusal("the API key is missing or wrong", 401)

    def _view(self, job: Job) -> dict[str, Any]:
        return job_view(self.store, job)


def job_view(store: JobStore, job: Job) -> dict[str, Any]:
    """What /status says of a job, which is also what its webhook gets."""
    view: dict[str, Any] = {"id": job.id, "status": job.state}
    view["delayTime"] = store.delay_ms(job)
    if job.started is not None:
        view["executionTime"] = store.execution_ms(job)
    if job.worker_id is not None:
        view["workerId"] = job.worker_id
    if job.output is not ABSENT:
        view["output"] = job.output
    if job.error is not None:
        view["error"] = job.error
    return view


def _whole(text: str | None, *, default: int) -> int | None:
    if text is None:
        return default
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
