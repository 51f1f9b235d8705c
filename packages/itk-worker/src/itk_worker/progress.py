"""Sends progress in order, at a steady pace, and never after the result."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from itk_schema import dump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from itk_schema import Progress

    Post = Callable[[dict[str, Any]], Awaitable[None]]

INTERVAL_SECONDS = 1.0
POST_SECONDS = 10.0  # a progress endpoint that hangs must not hang the job
DRAIN_SECONDS = 5.0
MOST_WAITING = 64


class ProgressPump:
    """Posts one job's progress from the event loop; any thread may put.

    Within one stage only the newest progress waits, and at most one a second leaves; a change
    of stage leaves at once. Numbers `seq` rise as they are put, so a gap is progress that
    newer progress overtook.
    """

    def __init__(
        self,
        post: Post,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
        on_trouble: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self._post = post
        self._interval_seconds = interval_seconds
        self._drain_seconds = drain_seconds
        self._on_trouble = on_trouble
        self._waiting: deque[tuple[str, Progress]] = deque(maxlen=MOST_WAITING)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._closing = False
        self._task = asyncio.ensure_future(self._run())

    def put(self, progress: Progress, kind: str) -> None:
        """Let this progress leave soon; `kind` names the stage within which newer replaces older.

        After `close` it goes nowhere.
        """
        with contextlib.suppress(RuntimeError):  # the loop is gone: so is the listener
            self._loop.call_soon_threadsafe(self._keep, kind, progress)

    async def close(self) -> None:
        """Send what waits, for a few seconds at most; when this returns nothing more leaves."""
        await asyncio.sleep(0)  # what other threads put before now is kept first
        self._closing = True
        self._news.set()
        done, _ = await asyncio.wait({self._task}, timeout=self._drain_seconds)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task})

    def abandon(self) -> None:
        """Stop at once; what waits is dropped, because nobody wants it any more."""
        self._closing = True
        self._waiting.clear()
        self._task.cancel()

    def _keep(self, kind: str, progress: Progress) -> None:
        if self._closing:
            return
        if self._waiting and self._waiting[-1][0] == kind:
            self._waiting.pop()
        self._waiting.append((kind, progress))
        self._news.set()

    async def _run(self) -> None:
        sent_kind, sent_at = "", float("-inf")
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._news.clear()
                await self._news.wait()
                continue
            early = sent_at + self._interval_seconds - time.monotonic()
            same_stage = len(self._waiting) == 1 and self._waiting[0][0] == sent_kind
            if same_stage and early > 0 and not self._closing:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), early)
                continue
            sent_kind, progress = self._waiting.popleft()
            sent_at = time.monotonic()
            await self._send(progress)

    async def _send(self, progress: Progress) -> None:
        try:
            await asyncio.wait_for(self._post(dump(progress)), POST_SECONDS)
        except (OSError, TimeoutError) as error:
            self._on_trouble(error)
