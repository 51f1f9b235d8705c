"""Puts queue, protocol, files and workers together into one endpoint on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from attrs import evolve, field, frozen
from starlette.applications import Starlette

from .bodies import refusal
from .client_api import ClientApi, job_view
from .files import Files
from .jobs import Job, JobStore, Patience
from .settings import LocalAddress, worker_environment
from .webhooks import Webhooks
from .worker_api import WorkerApi
from .workers import WorkerPlan, Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

HOST = "127.0.0.1"
ENDPOINT_ID = "local"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost"})


@frozen(kw_only=True)
class EndpointOptions:
    """What a person may choose about the local endpoint."""

    volume: Path
    port: int = 0
    workers: int = 1
    api_key: str | None = None
    command: tuple[str, ...] = (sys.executable, "-m", "itk_worker")
    extra_environment: dict[str, str] = field(factory=dict)
    worker_output: int | None = None
    patience: Patience = field(factory=Patience)
    webhooks: Webhooks = field(factory=Webhooks)


@frozen(kw_only=True)
class Listening:
    """Where the endpoint can be reached, now that it can."""

    url: str  # http://127.0.0.1:PORT/v2/local
    files_url: str
    store: JobStore
    workers: Workers


async def serve(
    options: EndpointOptions,
    *,
    on_listening: Callable[[Listening], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Run the endpoint until `stop` is set or the process is told to end.

    Raises:
        OSError: the port is taken.
    """
    volume = options.volume.resolve()
    volume.mkdir(parents=True, exist_ok=True)
    listener = _listen(options.port)
    port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="itk-home-") as home:
        address = LocalAddress(
            url=f"http://{HOST}:{port}/v2/{ENDPOINT_ID}",
            files_url=f"http://{HOST}:{port}/files/",
            token=secrets.token_hex(16),
            volume=volume,
            home=Path(home),
        )
        await _serve_at(address, listener, evolve(options, volume=volume), on_listening, stop)


async def _serve_at(  # noqa: PLR0917  private, called once
    address: LocalAddress,
    listener: socket.socket,
    options: EndpointOptions,
    on_listening: Callable[[Listening], None],
    stop: asyncio.Event | None,
) -> None:
    messengers: set[asyncio.Task[bool]] = set()

    def tell(job: Job) -> None:
        if job.submission.webhook:
            work = options.webhooks.tell(job.submission.webhook, job_view(store, job))
            task = asyncio.ensure_future(work)
            messengers.add(task)
            task.add_done_callback(messengers.discard)

    store = JobStore(options.patience, on_final=tell)
    workers = Workers(_plan(address, options), store)
    server = _server(_app(address, options, store, workers))
    supervising = asyncio.ensure_future(workers.run())
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    watching = asyncio.ensure_future(_until_told(server, stop))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event
            await asyncio.sleep(0.01)
        listening = Listening(
            url=address.url, files_url=address.files_url, store=store, workers=workers
        )
        on_listening(listening)
        await asyncio.wait({watching, serving, supervising}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        workers.stop()
        await supervising
        store.close()
        server.should_exit = True
        watching.cancel()
        for task in messengers:
            task.cancel()
        await serving


async def _until_told(server: uvicorn.Server, stop: asyncio.Event | None) -> None:
    while not server.should_exit and not (stop and stop.is_set()):  # noqa: ASYNC110  as above
        await asyncio.sleep(0.05)


def _plan(address: LocalAddress, options: EndpointOptions) -> WorkerPlan:
    return WorkerPlan(
        command=options.command,
        environment=lambda worker: worker_environment(address, worker) | options.extra_environment,
        count=options.workers,
        output=options.worker_output,
    )


def _app(  # noqa: PLR0917  private, called once
    address: LocalAddress, options: EndpointOptions, store: JobStore, workers: Workers
) -> ASGIApp:
    base = f"/v2/{ENDPOINT_ID}"
    clients = ClientApi(store=store, worker_counts=workers.counts, api_key=options.api_key)
    protocol = WorkerApi(store=store, workers=workers, token=address.token)
    files = Files(volume=options.volume, base_url=address.files_url)
    routes = [*clients.routes(base), *protocol.routes(base), *files.routes()]
    return _OnlyLocal(Starlette(routes=routes))


class _OnlyLocal:
    """Refuses what a web page elsewhere could send through this machine's browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
            origin = headers.get("origin")
            strange = origin is not None and not _is_local(origin)
            if strange or not _is_local(f"http://{headers.get('host', '')}"):
                await refusal("this endpoint answers local callers only", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_local(origin: str) -> bool:
    with contextlib.suppress(ValueError):
        return urlsplit(origin).hostname in LOCAL_NAMES
    return False


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


def _server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    return uvicorn.Server(config)


def end_quietly_on_signals() -> None:
    """Leave SIGINT and SIGTERM to `serve`, which ends its workers before the process ends.

    uvicorn raises a signal that it caught once more when it is done; without this that would
    kill the process before the clean-up.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
