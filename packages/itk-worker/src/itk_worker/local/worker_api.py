"""Runpod's worker protocol: job-take, job-stop, job-done, job-stream, ping."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from starlette.responses import Response
from starlette.routing import Route

from .bodies import NotJsonError, TooLargeError, answer, parse_json, read_body, refusal
from .jobs import Job, JobStore
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.requests import Request


RESULT_LIMIT_BYTES = 10 * 1024 * 1024
SYNC_RESULT_LIMIT_BYTES = 20 * 1024 * 1024
CHUNK_LIMIT_BYTES = 1024 * 1024
LARGEST_BATCH = 100


@frozen(kw_only=True)
class WorkerApi:
    """The routes that the workers of one endpoint call."""

    store: JobStore
    workers: Workers
    token: str
    _taking: set[str] = field(factory=set)

    def routes(self, base: str) -> list[Route]:
        """Routes below `base`, such as /v2/local."""
        done = f"{base}/job-done/{{worker}}/{{job}}"
        return [
            Route(f"{base}/job-take/{{worker}}", self.take, methods=["GET"]),
            Route(f"{base}/job-take-batch/{{worker}}", self.take_batch, methods=["GET"]),
            Route(f"{base}/job-stop/{{worker}}", self.stop, methods=["GET"]),
            Route(done, self.done, methods=["POST"]),
            Route(f"{base}/job-stream/{{worker}}/{{job}}", self.stream, methods=["POST"]),
            Route(f"{base}/ping/{{worker}}", self.ping, methods=["GET"]),
        ]

    async def take(self, request: Request) -> Response:
        """Hand out one job, or 204 after a long poll."""
        jobs = await self._taken(request, count=1)
        return jobs if isinstance(jobs, Response) else answer(_for_worker(jobs[0]))

    async def take_batch(self, request: Request) -> Response:
        """Hand out up to batch_size jobs, or 204 after a long poll."""
        size = request.query_params.get("batch_size", "")
        if not (size.isascii() and size.isdecimal() and 1 <= int(size[:9]) <= LARGEST_BATCH):
            return refusal(f"batch_size: needed 1..{LARGEST_BATCH}", 400)
        jobs = await self._taken(request, count=int(size))
        return jobs if isinstance(jobs, Response) else answer([_for_worker(job) for job in jobs])

    async def stop(self, request: Request) -> Response:
        """Name the jobs that the worker must stop, or 204 after a long poll."""
        worker_id = request.path_params["worker"]
        if refused := self._refused(request):
            return refused
        wait = self.store.stops(worker_id, seconds=self.store.patience.poll_seconds)
        ids = await _unless_gone(request, wait)
        return answer({"jobsToStop": ids}) if ids else Response(status_code=204)

    async def done(self, request: Request) -> Response:
        """Take a result, or the progress of a running job; JSON whatever the content type."""
        job = self._held_job(request)
        if isinstance(job, Response):
            return job
        limit = SYNC_RESULT_LIMIT_BYTES if job.sync else RESULT_LIMIT_BYTES
        try:
            body = parse_json(await read_body(request, limit_bytes=limit))
        except TooLargeError as error:
            # What the platform does: the worker gets 400, the client COMPLETED without output.
            self.store.finish(job)
            return refusal(str(error), 400)
        except NotJsonError as error:
            return refusal(str(error), 400)
        if not isinstance(body, dict):
            return refusal("the body must be a JSON object", 400)
        if body.get("status") == "IN_PROGRESS":
            self.store.progress(job, body.get("output"))
        else:
            self._finish(job, body)
        return answer({})

    async def stream(self, request: Request) -> Response:
        """Take one value that a generator handler yielded."""
        job = self._held_job(request)
        if isinstance(job, Response):
            return job
        try:
            body = parse_json(await read_body(request, limit_bytes=CHUNK_LIMIT_BYTES))
        except (TooLargeError, NotJsonError) as error:
            return refusal(str(error), 400)
        job.stream.append(body)
        return answer({})

    async def ping(self, request: Request) -> Response:
        """Note a sign of life, or a worker's last words about a check that it failed."""
        if refused := self._refused(request):
            return refused
        worker_id, query = request.path_params["worker"], request.query_params
        if query.get("status") == "unhealthy":
            self.workers.note_unhealthy(worker_id, query.get("reason", "no reason given"))
        return answer({})

    async def _taken(self, request: Request, *, count: int) -> list[Job] | Response:
        worker_id = request.path_params["worker"]
        if refused := self._refused(request):
            return refused
        if worker_id in self._taking:
            return refusal("this worker already waits for a job", 429)
        if not self.workers.may_take(worker_id):
            await asyncio.sleep(1)  # the SDK asks again at once after a 400
            return refusal("this worker is to shut down", 400)
        self.workers.note_ready(worker_id)
        self._taking.add(worker_id)
        try:
            seconds = self.store.patience.poll_seconds
            wait = self.store.take(worker_id, count=count, seconds=seconds)
            jobs = await _unless_gone(request, wait)
        finally:
            self._taking.discard(worker_id)
        return jobs or Response(status_code=204)

    def _held_job(self, request: Request) -> Job | Response:
        if refused := self._refused(request):
            return refused
        job = self.store.find(request.path_params["job"])
        if job is None:
            return refusal("job not found", 404)
        if job.worker_id != request.path_params["worker"]:
            return refusal("this job was given to another worker", 404)
        return job

    def _finish(self, job: Job, body: dict[str, Any]) -> None:
        worker_id = job.worker_id
        if body.get("error"):
            error = body["error"]
            text = error if isinstance(error, str) else str(error)
            self.store.finish(job, error=text)
        elif "output" in body:
            self.store.finish(job, output=body["output"])
        else:
            self.store.finish(job)
        if body.get("stopPod") and worker_id:
            self.workers.replace(worker_id)

    def _refused(self, request: Request) -> Response | None:
        shown = request.headers.get("authorization", "")
        if hmac.compare_digest(shown.encode(), self.token.encode()):
            return None
        return refusal("the worker's key is missing or wrong", 401)


def _for_worker(job: Job) -> dict[str, Any]:
    return {"id": job.id, "input": job.submission.input, **job.submission.extras}


async def _unless_gone(request: Request, wait: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """What `wait` brings; nothing, and nothing taken, once the caller has hung up."""
    waiting = asyncio.ensure_future(wait)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not waiting.done():
            waiting.cancel()
    return waiting.result() if waiting.done() and not waiting.cancelled() else []


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
