"""Runs the desk inside Runpod's loop; the only file that knows its SDK."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import ModuleType

    from .desk import Desk
    from .logs import Log
    from .progress import Post
    from .settings import Settings

LOCAL_FLAGS = frozenset({"--test_input", "--rp_serve_api"})
DRAIN_SECONDS = 0.3  # a job that was handed over just before SIGTERM starts within this


class UnusableArgumentsError(ValueError):
    """The command line names a test input that cannot be read."""


def import_runpod(settings: Settings) -> ModuleType:
    """Import the SDK, which reads the environment while it is imported."""
    os.environ["RUNPOD_LOG_LEVEL"] = settings.runpod_log_level
    _name_processor_at_once()
    import runpod

    return runpod


def _name_processor_at_once() -> None:
    """Let the SDK, which names the processor in a debugging report, not measure it for that.

    It would start processes and wait for them in a busy loop: over a second of every start, and
    minutes where the machine is busy.
    """
    with suppress(ModuleNotFoundError):
        import cpuinfo

        cpuinfo.get_cpu_info = lambda: {"brand_raw": platform.processor() or platform.machine()}


def expand_test_input(arguments: Sequence[str]) -> list[str]:
    """`--test_input @file` and `--test_input=@file` with the file's JSON in place of its name.

    Raises:
        UnusableArgumentsError: the file cannot be read, or the text is not a JSON object.
    """
    expanded: list[str] = []
    values = iter(arguments)
    for argument in values:
        name, equals, value = argument.partition("=")
        if name != "--test_input":
            expanded.append(argument)
            continue
        value = value if equals else next(values, "")
        expanded += [name, _test_input(value)]
    return expanded


class Loop:
    """Runpod's loop around one desk."""

    def __init__(self, desk: Desk, *, log: Log, settings: Settings) -> None:
        self._desk = desk
        self._log = log
        self._posts = settings.post_output is not None
        self._job: asyncio.Task[Any] | None = None
        self._armed = False
        self._drained = False
        self._drain: asyncio.Task[None] | None = None

    def run(
        self,
        runpod: ModuleType,
        *,
        arguments: Sequence[str],
        checks: Sequence[Callable[[], None]],
    ) -> int:
        """Serve jobs until told to stop; the process's exit status."""
        sys.argv = [sys.argv[0], *arguments]
        if LOCAL_FLAGS & {argument.partition("=")[0] for argument in arguments}:
            self._posts = False
        for check in checks:
            runpod.serverless.register_fitness_check(check)
        try:
            runpod.serverless.start({"handler": self.handle, "concurrency_modifier": self._one_job})
        except asyncio.CancelledError:
            if not self._drained:
                raise
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        self._log.write("stopped")
        return 0

    async def handle(self, job: dict[str, Any]) -> dict[str, Any]:
        """What the SDK calls for each job."""
        self._job = asyncio.current_task()
        if not self._posts:
            return await self._desk.serve(job, post=None)
        async with _poster(job) as post:
            return await self._desk.serve(job, post=post)

    def _one_job(self, _current: int) -> int:
        """One job at a time. Called first in the SDK's loop, so it is where signals are taken over.

        The SDK's own SIGTERM waits up to 90 s for its open requests, and loses a job that one of
        them brings in that time.
        """
        if not self._armed:
            self._armed = True
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._shut_down, signal.getsignal(number))
            self._log.write("ready")
        return 1

    def _shut_down(self, sdk_handler: Any) -> None:
        if self._drain is not None:
            return
        self._log.write("shutdown_requested")
        self._desk.interrupt()
        if callable(sdk_handler):
            sdk_handler(signal.SIGTERM, None)  # its loops take no further job
        self._drain = asyncio.ensure_future(self._leave())

    async def _leave(self) -> None:
        """Wait until the running job's error is posted, then end the loop's long polls."""
        await asyncio.sleep(DRAIN_SECONDS)
        if self._job is not None and not self._job.done():
            await asyncio.wait({self._job})
        self._drained = True
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()


@asynccontextmanager
async def _poster(job: dict[str, Any]) -> AsyncIterator[Post]:
    """A way to post progress of this job, one at a time and awaited, unlike progress_update."""
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules.rp_http import send_result

    async with AsyncClientSession() as session:

        async def post(progress: dict[str, Any]) -> None:
            await send_result(session, {"status": "IN_PROGRESS", "output": progress}, job)

        yield post


def _test_input(value: str) -> str:
    try:
        text = Path(value[1:]).read_text("utf-8") if value.startswith("@") else value
        job = json.loads(text)
    except (OSError, ValueError) as error:
        message = f"--test_input {value[:80]}: {error}"
        raise UnusableArgumentsError(message) from error
    if not isinstance(job, dict) or not isinstance(job.get("input"), dict):
        message = f'--test_input {value[:80]}: needs a JSON object such as {{"input": {{...}}}}'
        raise UnusableArgumentsError(message)
    return text
