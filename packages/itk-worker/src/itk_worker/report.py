"""Tells log and caller where a job is."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from itk_schema import (
    Progress,
    Stage,
    at_stage,
    batch_percentage,
    chunk_percentage,
    chunk_stage,
    stage_percentage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .logs import JobLog
    from .port import Step

    Put = Callable[[Progress, str], None]

LOGGED_PERCENT = 10  # sampling is logged this often


class Reporter:
    """One job's or one item's stages, as log lines and as progress.

    `put` takes progress and the name of its kind; it must not block. Used from one thread.
    """

    def __init__(
        self,
        *,
        job_id: str,
        log: JobLog,
        put: Put,
        numbers: Iterator[int] | None = None,
        item: tuple[str, int, int] | None = None,
    ) -> None:
        self._job_id = job_id
        self.log = log
        self._put = put
        self._numbers = itertools.count(1) if numbers is None else numbers
        self._item = item  # id, index, how many
        self._began = time.monotonic()
        self._stage_began = self._began
        self._sampling_began: float | None = None
        self._logged: tuple[int, int] | None = None
        self.at_stage = "validation"

    def for_item(self, item_id: str, *, index: int, items: int) -> Reporter:
        """The reporter of one item of this batch."""
        return Reporter(
            job_id=self._job_id,
            log=self.log,
            put=self._put,
            numbers=self._numbers,
            item=(item_id, index, items),
        )

    def stage(self, stage: Stage, **details: Any) -> None:
        """A stage begins or ends."""
        now = time.monotonic()
        since = self._began if stage is Stage.COMPLETED else self._stage_began
        ends = stage.value.endswith("_ok") or stage is Stage.COMPLETED
        self._stage_began = now
        if stage is not Stage.COMPLETED:
            self.at_stage = at_stage(stage).value
        self._write(stage.value, details, lat_ms=int(1000 * (now - since)) if ends else None)
        self._send(stage.value, stage_percentage(stage), details, kind=stage.value)

    def step(self, step: Step) -> None:
        """The generation moved on."""
        name = chunk_stage(step.stage, chunk=step.chunk, step=step.step, steps=step.steps)
        self.at_stage = at_stage(name).value
        details: dict[str, Any] = {"chunk": step.chunk, "chunks": step.chunks}
        if step.stage == "preprocess" or (step.stage == "sampling" and step.step == 0):
            self._sampling_began = time.monotonic()
        if step.stage == "sampling":
            details |= {"step": step.step, "steps": step.steps}
            eta_seconds = self._eta(step)
            if eta_seconds is not None:
                details["eta_seconds"] = round(eta_seconds, 1)
        self._log_step(step, details)
        pct = chunk_percentage(
            step.stage, chunk=step.chunk, chunks=step.chunks, step=step.step, steps=step.steps
        )
        self._send(name, pct, details, kind=f"{step.chunk} {step.stage}")

    def _log_step(self, step: Step, details: dict[str, Any]) -> None:
        if step.stage == "sampling":
            tenth = (step.chunk, 100 * step.step // max(step.steps, 1) // LOGGED_PERCENT)
            if tenth == self._logged:
                return
            self._logged = tenth
            details = {**details, "pct": 100 * step.step // max(step.steps, 1)}
        self._write(self.at_stage, details, lat_ms=None)

    def _eta(self, step: Step) -> float | None:
        """Seconds until the last step of the last chunk, from the pace of this chunk."""
        if step.step < 1 or self._sampling_began is None:
            return None
        a_step = (time.monotonic() - self._sampling_began) / step.step
        return a_step * (step.steps - step.step + step.steps * (step.chunks - step.chunk - 1))

    def _write(self, event: str, details: dict[str, Any], *, lat_ms: int | None) -> None:
        if self._item:
            details = {"item_id": self._item[0], "item_index": self._item[1], **details}
        self.log.write(event, details=details, lat_ms=lat_ms)

    def _send(self, stage: str, pct: float, details: dict[str, Any], *, kind: str) -> None:
        item_id, item_index, items = self._item or (None, None, 0)
        if item_index is not None:
            pct = batch_percentage(pct, item_index=item_index, items=items)
        progress = Progress(
            stage=stage,
            pct=pct,
            job_id=self._job_id,
            seq=next(self._numbers),
            details=self.log.redactor.mapping(details),
            logs=tuple(self.log.last(5)),
            item_id=item_id,
            item_index=item_index,
        )
        self._put(progress, f"{item_index} {kind}")
