"""Encodes a video's chunks on a thread of its own while the next ones are made."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from itk_media import VideoWriter, write_thumbnail

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class ChunkEncoder:
    """Writes chunks in order, never more than one chunk behind the engine.

    What goes wrong on the thread is raised by `check`, `write` or `close`. Leaving the `with`
    block by an error drops what waits; either way the thread has ended afterwards.
    """

    def __init__(self, writer: VideoWriter, *, thumbnail: Path) -> None:
        self._writer = writer
        self._thumbnail = thumbnail
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encode")
        self._pending: deque[Future[None]] = deque()
        self.busy_ms = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def check(self) -> None:
        """Go on, or raise what went wrong so far."""
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()

    def write(self, frames: np.ndarray) -> None:
        """Take uint8 [F, H, W, 3]; waits while the chunk before is still being written."""
        while self._pending:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._encode, frames))

    def close(self) -> None:
        """Write what waits and finish the file."""
        while self._pending:
            self._pending.popleft().result()
        self._thread.submit(self._finish).result()

    def _encode(self, frames: np.ndarray) -> None:
        began = time.monotonic()
        if self._writer.frames_written == 0:
            write_thumbnail(frames[0], self._thumbnail)
        self._writer.write(frames)
        self.busy_ms += 1000 * (time.monotonic() - began)

    def _finish(self) -> None:
        began = time.monotonic()
        self._writer.close()
        self.busy_ms += 1000 * (time.monotonic() - began)
