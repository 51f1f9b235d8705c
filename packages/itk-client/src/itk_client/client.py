"""Talks to an endpoint from ordinary code."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from .downloads import OnBytes, Source, download
from .job import Job, OnEvent
from .pacing import LOCAL_CADENCE, Clock, RetryPolicy
from .preparing import AnyJob, Draft, draft_job, request_body
from .protocol import (
    ApiRequest,
    Health,
    Reply,
    health_request,
    parse_health,
    parse_job_status,
    run_request,
)
from .sending import Courier, open_client, send
from .settings import Settings, find_settings, is_loopback
from .uploads import place_files
from .watch import Patience

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from .results import BatchResult, Result


class Client:
    """An endpoint and a key: submits jobs and hands out handles.

    Arguments that are not given come from RUNPOD_API_KEY, ITK_ENDPOINT_ID (or
    RUNPOD_ENDPOINT_ID), ITK_BASE_URL and the profile file. Threads may share a client.
    """

    def __init__(
        self,
        endpoint_id: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        profile: str | None = None,
        http_client: httpx2.Client | None = None,
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
        self._http: httpx2.Client = http_client or open_client(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.settings.endpoint_id!r}, base_url={self.settings.base_url!r})"

    def submit(
        self,
        job: AnyJob,
        *,
        execution_timeout_seconds: float | None = None,
        ttl_seconds: float | None = None,
        webhook: str | None = None,
    ) -> Job:
        """Send a job; local files that it names travel with it.

        Raises:
            ValidationError: with everything that is wrong with the job; nothing was sent.
            SubmitUnknownError: when it was sent and no answer came.
        """
        draft = draft_job(
            job,
            execution_timeout_seconds=execution_timeout_seconds,
            ttl_seconds=ttl_seconds,
            webhook=webhook,
        )
        return self._send_draft(draft)

    def generate(
        self,
        job: AnyJob,
        *,
        on_event: OnEvent | None = None,
        timeout_seconds: float | None = None,
    ) -> Result | BatchResult:
        """Submit a job and wait for what it makes; Ctrl-C cancels it on the endpoint."""
        handle = self.submit(job)
        try:
            return handle.result(timeout_seconds=timeout_seconds, on_event=on_event)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                handle.cancel()
            raise

    def job(self, job_id: str) -> Job:
        """The handle of a job that was submitted before, here or elsewhere."""
        return Job(id=job_id, client=self)

    def health(self) -> Health:
        """How many jobs and workers the endpoint has."""
        return parse_health(self.send(health_request()))

    def close(self) -> None:
        """Close the connections, unless they were passed in."""
        if self._own_http:
            self._http.close()

    def send(self, request: ApiRequest, *, retry: RetryPolicy | None = None) -> Reply:
        """The endpoint's agreement to any request of the protocol."""
        return send(self._http, request, courier=self._courier, retry=retry)

    def fetch(self, source: Source, target: Path, on_bytes: OnBytes | None = None) -> Path:
        """Download a file; the API key is not sent."""
        return download(
            self._http,
            source,
            target,
            clock=self.clock,
            retry=self._courier.retry,
            on_bytes=on_bytes,
        )

    def _send_draft(self, draft: Draft) -> Job:
        places = place_files(self._http, draft.files, courier=self._courier)
        body = request_body(draft, places)
        reply = self.send(run_request(body, request_id=draft.request_id))
        found = parse_job_status(reply)
        return Job(id=found.job_id, request_id=draft.request_id, client=self)


def default_patience(settings: Settings) -> Patience:
    """Looks more often where looking costs nothing."""
    return Patience(cadence=LOCAL_CADENCE) if is_loopback(settings.base_url) else Patience()
