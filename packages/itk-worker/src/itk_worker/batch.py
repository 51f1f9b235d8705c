"""Runs what a job asks for: one video, or a batch item after item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from itk_schema import (
    Batch,
    BatchOutput,
    ErrorInfo,
    JobFailure,
    JobSuccess,
    Stage,
    job_limit_seconds,
    parse_input,
)

from .cancel import JobStoppedError, StopSwitch
from .handler import Bench, Task, make_video
from .problems import attempt
from .report import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable


Output = JobSuccess | JobFailure | BatchOutput


@frozen(kw_only=True)
class Call:
    """One job as the platform hands it over."""

    job_id: str
    input: Any
    folder: Path
    report: Reporter
    switch: StopSwitch
    cold_start_ms: float = 0.0
    load_ms: float = 0.0


def run_call(call: Call, bench: Callable[[], Bench]) -> Output:
    """Do a job; whatever goes wrong is in the result. `bench` may raise, too."""
    report = call.report

    def work() -> JobSuccess | BatchOutput:
        report.stage(Stage.VALIDATION_STARTED)
        call.switch.check()
        job = parse_input(call.input)
        ready = bench()
        seconds = job_limit_seconds(job, operator_seconds=ready.settings.execution_timeout_seconds)
        call.switch.limit_to(seconds)
        if isinstance(job, Batch):
            return _run_batch(call, job, ready)
        task = Task(
            job=job,
            job_id=call.job_id,
            folder=call.folder,
            report=report,
            switch=call.switch,
            cold_start_ms=call.cold_start_ms,
            load_ms=call.load_ms,
        )
        return make_video(task, ready)

    outcome = attempt(work, stage=lambda: report.at_stage, log=report.log)
    if isinstance(outcome, ErrorInfo):
        return JobFailure(job_id=call.job_id, error=outcome)
    return outcome


def _run_batch(call: Call, batch: Batch, bench: Bench) -> BatchOutput:
    """One item after the other; an item that fails does not stop the next.

    Raises:
        JobStoppedError: the batch was cancelled, or the worker is to shut down.
    """
    items = []
    for index in range(len(batch.batch)):
        item = _run_item(call, batch, bench, index=index)
        _stop_for_all(call.switch)
        items.append(item)
    return BatchOutput(job_id=call.job_id, items=tuple(items))


def _run_item(call: Call, batch: Batch, bench: Bench, *, index: int) -> JobSuccess | JobFailure:
    item_id = batch.item_id(index)
    report = call.report.for_item(item_id, index=index, items=len(batch.batch))
    folder = call.folder / f"item-{index}"
    folder.mkdir()
    task = Task(
        job=batch.item(index),
        job_id=call.job_id,
        item_id=item_id,
        item_index=index,
        path=f"input.batch[{index}]",
        folder=folder,
        report=report,
        switch=call.switch,
        cold_start_ms=call.cold_start_ms if index == 0 else 0.0,
        load_ms=call.load_ms if index == 0 else 0.0,
    )

    def work() -> JobSuccess:
        report.stage(Stage.VALIDATION_STARTED)
        call.switch.check()
        return make_video(task, bench)

    outcome = attempt(work, stage=lambda: report.at_stage, log=report.log)
    if isinstance(outcome, ErrorInfo):
        return JobFailure(job_id=call.job_id, item_id=item_id, item_index=index, error=outcome)
    return evolve(outcome, logs=())  # the batch's log is one; items would repeat it


def _stop_for_all(switch: StopSwitch) -> None:
    """A cancelled or interrupted batch ends whole; one that ran out of time keeps what it has."""
    try:
        switch.check()
    except JobStoppedError as stopped:
        if stopped.reason != "deadline":
            raise
