"""Talks to an endpoint from asyncio code, with the same names."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Self

from attrs import evolve, field, frozen

from .client import default_patience
from .downloads import OnBytes, Source, download_async
from .errors import ItkError, NotFoundError, ResultExpiredError, WaitTimeoutError
from .events import Event, Finished
from .pacing import Clock, RetryPolicy
from .preparing import AnyJob, draft_job, request_body
from .protocol import (
    ApiRequest,
    Health,
    JobStatus,
    Reply,
    cancel_request,
    health_request,
    parse_health,
    parse_job_status,
    retry_request,
    run_request,
    status_request,
)
from .results import BatchResult, Result, SavedFiles, awaited, result_of
from .sending import ONE_TRY, Courier, open_async_client, send_async
from .settings import Settings, find_settings
from .uploads import place_files_async
from .watch import Patience, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

    from .job import OnEvent


class AsyncClient:
    """An endpoint and a key, for asyncio; see Client."""

    def __init__(
        self,
        endpoint_id: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        http_client: httpx2.AsyncClient | None = None,
        patience: Patience | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings: Settings = find_settings(
            endpoint_id=endpoint_id, api_key=api_key, base_url=base_url, profile=profile
        )
        self.clock: Clock = clock or Clock()
        self.patience: Patience = patience or default_patience(self.settings)
        self._courier = Courier(
            settings=self.settings, clock=self.clock, retry=retry or RetryPolicy()
        )
        self._own_http = http_client is None
        self._http: httpx2.AsyncClient = http_client or open_async_client(self.settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.settings.endpoint_id!r}, base_url={self.settings.base_url!r})"

    async def submit(
        self,
        job: AnyJob,
        *,
        execution_timeout_seconds: float | None = None,
        ttl_seconds: float | None = None,
        webhook: str | None = None,
    ) -> AsyncJob:
        """Send a job; local files that it names travel with it. See Client.submit."""
        draft = draft_job(
            job,
            execution_timeout_seconds=execution_timeout_seconds,
            ttl_seconds=ttl_seconds,
            webhook=webhook,
        )
        places = await place_files_async(self._http, draft.files, courier=self._courier)
        body = await asyncio.to_thread(request_body, draft, places)
        reply = await self.send(run_request(body, request_id=draft.request_id))
        found = parse_job_status(reply)
        return AsyncJob(id=found.job_id, request_id=draft.request_id, client=self)

    async def generate(
        self,
        job: AnyJob,
        *,
        on_event: OnEvent | None = None,
        timeout_seconds: float | None = None,
    ) -> Result | BatchResult:
        """Submit a job and wait for what it makes; cancelling the task cancels the job."""
        handle = await self.submit(job)
        try:
            return await handle.result(timeout_seconds=timeout_seconds, on_event=on_event)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.shield(handle.cancel())
            raise

    def job(self, job_id: str) -> AsyncJob:
        """The handle of a job that was submitted before, here or elsewhere."""
        return AsyncJob(id=job_id, client=self)

    async def health(self) -> Health:
        """How many jobs and workers the endpoint has."""
        return parse_health(await self.send(health_request()))

    async def close(self) -> None:
        """Close the connections, unless they were passed in."""
        if self._own_http:
            await self._http.aclose()

    async def send(self, request: ApiRequest, *, retry: RetryPolicy | None = None) -> Reply:
        """The endpoint's agreement to any request of the protocol."""
        return await send_async(self._http, request, courier=self._courier, retry=retry)

    async def fetch(self, source: Source, target: Path, on_bytes: OnBytes | None = None) -> Path:
        """Download a file; the API key is not sent."""
        return await download_async(
            self._http,
            source,
            target,
            clock=self.clock,
            retry=self._courier.retry,
            on_bytes=on_bytes,
        )


@frozen(kw_only=True)
class AsyncJob:
    """A job on an endpoint, for asyncio; see Job."""

    id: str
    request_id: str | None = None
    _client: AsyncClient = field(repr=False, eq=False)

    async def status(self) -> JobStatus:
        """One look at the job."""
        return await self._ask(status_request(self.id))

    async def events(self, *, timeout_seconds: float | None = None) -> AsyncIterator[Event]:
        """What happens to the job, each thing once, until it is finished."""
        client = self._client
        patience = evolve(client.patience, timeout_seconds=timeout_seconds)
        watch = Watch(self.id, started=client.clock.now(), patience=patience)
        while not watch.is_finished:
            try:
                reply = await client.send(status_request(self.id), retry=ONE_TRY)
                status = parse_job_status(reply, job_id=self.id)
            except ItkError as error:
                chance = client.clock.chance()
                news = watch.failed(error, now=client.clock.now(), chance=chance)
            else:
                news = watch.heard(status)
            for event in news:
                yield event
            if not watch.is_finished:
                pause = watch.pause_seconds(now=client.clock.now(), chance=client.clock.chance())
                await client.clock.sleep_async(pause)

    async def watch(self, on_event: OnEvent, *, timeout_seconds: float | None = None) -> JobStatus:
        """Call `on_event` with each event until the job is finished, and return its end."""
        async for event in self.events(timeout_seconds=timeout_seconds):
            on_event(event)
            if isinstance(event, Finished):
                return event.status
        raise WaitTimeoutError(job_id=self.id, seconds=0.0, state="never")

    async def wait(self, *, timeout_seconds: float | None = None) -> JobStatus:
        """The job's end, however it ended."""
        return await self.watch(lambda _event: None, timeout_seconds=timeout_seconds)

    async def result(
        self, *, timeout_seconds: float | None = None, on_event: OnEvent | None = None
    ) -> Result | BatchResult:
        """What the job made, after waiting for it."""
        end = await self.watch(on_event or (lambda _event: None), timeout_seconds=timeout_seconds)
        return result_of(end, fetch=self._client.fetch)

    async def download(
        self,
        folder: str | Path = ".",
        *,
        name: str | None = None,
        on_bytes: OnBytes | None = None,
        timeout_seconds: float | None = None,
    ) -> SavedFiles:
        """Wait for the job and bring video, thumbnail and metadata into a folder."""
        result = await self.result(timeout_seconds=timeout_seconds)
        if isinstance(result, BatchResult):
            message = "a batch has many videos: download each of result().items"
            raise TypeError(message)
        artifacts = result.files()
        saved: dict[str, Path] = {}
        for kind, target in result.targets(Path(folder), name=name).items():
            ears = on_bytes if kind == "video" else None
            saved[kind] = await awaited(artifacts[kind].download(target, on_bytes=ears))
        return SavedFiles(**saved)

    async def cancel(self) -> JobStatus:
        """Ask the endpoint to stop the job; the worker stops at its next step."""
        return await self._ask(cancel_request(self.id))

    async def retry(self) -> JobStatus:
        """Queue the failed or timed-out job again, under the same id."""
        return await self._ask(retry_request(self.id))

    async def _ask(self, request: ApiRequest) -> JobStatus:
        try:
            reply = await self._client.send(request)
        except NotFoundError as error:
            raise ResultExpiredError(job_id=self.id) from error
        return parse_job_status(reply, job_id=self.id)
