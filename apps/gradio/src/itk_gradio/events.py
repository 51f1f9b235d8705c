"""What happens when a person presses a button, and every few seconds after that."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from itk_client import (
    PAGE_CADENCE,
    BatchResult,
    Client,
    ItkError,
    JobState,
    JobStatus,
    Result,
    Settings,
    stage_words,
)

from . import words


@frozen(kw_only=True)
class Run:
    """One job of one page, as the server keeps it for that page's session alone."""

    settings: Settings
    job_id: str
    began: float
    """Monotonic seconds."""
    is_cancelling: bool = False


@frozen(kw_only=True)
class View:
    """What the page shows."""

    run: Run | None = None
    """None when nothing is to be followed any more."""
    stage: str = ""
    pct: float = 0.0
    trouble: str = ""
    video: str | None = None
    files: list[str] | None = None
    details: dict[str, Any] | None = None
    pause_seconds: float = 2.0


def submit(settings: Settings, job: dict[str, Any], *, now: float | None = None) -> View:
    """Send a job; the view then follows it, or says why it was not sent."""
    try:
        with _client(settings) as client:
            handle = client.submit(job)
    except ItkError as error:
        return View(stage=words.FAILED, trouble=str(error))
    began = time.monotonic() if now is None else now
    return View(
        run=Run(settings=settings, job_id=handle.id, began=began),
        stage=words.QUEUED,
        pause_seconds=PAGE_CADENCE.pause_seconds(0, chance=0.5),
    )


def look(run: Run, view: View, *, now: float | None = None) -> View:
    """The view after another look at the job; on its end, with its files."""
    try:
        with _client(run.settings) as client:
            status = client.job(run.job_id).status()
            if status.is_finished:
                return _ended(client, status)
    except ItkError as error:
        return evolve(view, run=None, stage=words.FAILED, trouble=str(error))
    age = (time.monotonic() if now is None else now) - run.began
    pause = PAGE_CADENCE.pause_seconds(max(age, 0.0), chance=0.5)
    return evolve(view, run=run, pause_seconds=pause, **_far(run, status, view))


def cancel(run: Run, view: View) -> View:
    """Ask for the job to be stopped, and go on looking until it has."""
    try:
        with _client(run.settings) as client:
            client.job(run.job_id).cancel()
    except ItkError as error:
        return evolve(view, trouble=str(error))
    return evolve(view, run=evolve(run, is_cancelling=True), stage=words.CANCELLING)


def _far(run: Run, status: JobStatus, view: View) -> dict[str, Any]:
    if run.is_cancelling:
        return {"stage": words.CANCELLING}
    if status.state == JobState.IN_QUEUE:
        return {"stage": words.QUEUED, "pct": 0.0}
    progress = status.progress
    if progress is None:
        return {"stage": view.stage if view.pct else words.STARTING}
    return {"stage": stage_words(progress), "pct": max(progress.pct, view.pct)}


def _ended(client: Client, status: JobStatus) -> View:
    if status.state == JobState.CANCELLED:
        return View(stage=words.CANCELLED)
    result = client.job(status.job_id).result(timeout_seconds=30)
    if isinstance(result, BatchResult):
        return View(stage=words.FAILED, trouble="The page follows single jobs, not batches.")
    folder = Path(tempfile.mkdtemp(prefix="itk-page-"))
    try:
        files = [
            str(result.files()[kind].download(target))
            for kind, target in result.targets(folder).items()
        ]
    except ItkError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return View(
        stage=words.DONE,
        pct=100.0,
        video=files[0],
        files=files,
        details=_details(result),
    )


def _details(result: Result) -> dict[str, Any]:
    facts = result.to_dict()
    kept = ("job_id", "seed", "model", "gpu", "timings", "warnings", "params")
    details = {name: facts[name] for name in kept if name in facts}
    if result.is_tiny_model:
        details["note"] = words.TINY
    return details


def _client(settings: Settings) -> Client:
    return Client(settings.endpoint_id, api_key=settings.api_key, base_url=settings.base_url)
