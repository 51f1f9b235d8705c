"""Shows a job to a person on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self, TextIO

from itk_client.events import Event, Finished, Progressed, Queued, Started
from itk_client.words import event_words
from itk_schema import read_chunk_stage, to_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_SECONDS = 5.0


class Screen:
    """What is being done, and how far; close it, or use it with `with`."""

    def __init__(self, *, stream: TextIO | None = None, is_live: bool | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_live = self._can_be_live() if is_live is None else is_live
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = ("", 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def say(self, words: str) -> None:
        """One line for the person."""
        if self._bar is not None:
            self._bar.console.print(words, markup=False, highlight=False, soft_wrap=True)
        else:
            self._stream.write(words + "\n")
            self._stream.flush()

    def show(self, event: Event) -> None:
        """One event of a job."""
        words = event_words(event)
        if isinstance(event, Progressed):
            self.advance(words, pct=event.progress.pct, group=_group(event))
        elif isinstance(event, Queued | Started):
            self.advance(words, pct=0.0, group=words)
        elif not isinstance(event, Finished):
            self.say(words)

    def advance(self, words: str, *, pct: float | None, group: str = "") -> None:
        """Move the bar (None: it only pulses); as lines, one for each group or few seconds."""
        if self._is_live:
            self._move(words, pct)
            return
        group_before, when = self._last_line
        now = time.monotonic()
        if group and group == group_before and now - when < _LINE_EVERY_SECONDS:
            return
        self._last_line = (group, now)
        share = "    " if pct is None else f"{pct:3.0f}%"
        self.say(f"{share}  {words}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._task = None

    def _move(self, words: str, pct: float | None) -> None:
        if self._bar is None:
            self._bar = _new_bar(self._stream)
            self._task = self._bar.add_task(words, total=None)
            self._bar.start()
        assert self._task is not None  # noqa: S101  made together with the bar
        if pct is None:
            self._bar.update(self._task, description=words, total=None)
        else:
            self._bar.update(self._task, description=words, total=100.0, completed=pct)

    def _can_be_live(self) -> bool:
        return self._stream.isatty() and not os.environ.get("CI")  # noqa: TID251  the terminal's


def _new_bar(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = (
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        Elapsed(),
        TextColumn("{task.description}", markup=False),
    )
    return Progress(*columns, console=Console(file=stream), transient=True)


def _group(event: Progressed) -> str:
    chunk = read_chunk_stage(event.progress.stage)
    if chunk is None:
        return event.progress.stage
    return f"{event.progress.item_index}/{chunk.chunk}/{chunk.part}"


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(to_json(value) + "\n")
    sys.stdout.flush()


def print_line(words: str) -> None:
    """One line on stdout."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
