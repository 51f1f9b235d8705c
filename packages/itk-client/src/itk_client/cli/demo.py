"""One command makes a talking video on this machine: endpoint up, job done, files here."""

from __future__ import annotations

import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from itk_client.client import Client
from itk_client.errors import EndpointProcessError
from itk_client.events import Event, Progressed, Started, Unreachable
from itk_client.job import save
from itk_client.results import BatchResult, Result, SavedFiles, result_of

from .endpoint_process import EndpointCommand, EndpointProcess
from .flags import JobFlags, StorageFlags, job_from
from .following import describe, follow
from .screen import Screen, print_json, print_line

DEFAULT_PROMPT = "A person looks into the camera and talks."
TINY_NOTE = (
    "Made by the tiny model that comes with the project, not by InfiniteTalk-14B: it makes drawn "
    "faces talk, and its picture is no measure of the real one."
)


@frozen(kw_only=True)
class DemoPlan:
    """Where a demo puts things."""

    out: Path
    name: str | None = None
    volume: Path | None = None
    is_json: bool = False


@frozen
class Stopwatch:
    """Start-up and job times apart, in seconds."""

    startup_seconds: float
    job_seconds: float


def run_demo(
    flags: JobFlags,
    generation: Any,
    plan: DemoPlan,
    *,
    command: EndpointCommand | None = None,
    screen: Screen | None = None,
) -> SavedFiles:
    """Make the video that the flags ask for, or the packaged person saying the packaged words.

    Raises:
        EndpointProcessError: when the endpoint does not start or dies, with the end of its log.
        JobError: when the job left no video.
    """
    raw = job_from(with_samples(flags), generation, StorageFlags())
    plan.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="itk-demo-") as scratch,
        screen or Screen() as shown,
    ):
        command = command or EndpointCommand(
            volume=plan.volume or Path(scratch), log=plan.out / "worker.log"
        )
        shown.say(f"Starting an endpoint on this machine; its log: {command.log}")
        began = time.monotonic()
        with EndpointProcess(command) as process:
            shown.advance("starting the endpoint", pct=None, group="start")
            address = process.address()
            client = Client(address.endpoint_id, base_url=address.base_url, api_key="local")
            with client:
                saved, result = _make(
                    client, raw, process=process, screen=shown, began=began, plan=plan
                )
            shown.close()
            report(result, saved, plan)
    return saved


def with_samples(flags: JobFlags) -> JobFlags:
    """The flags, with the packaged portrait, speech and a prompt where they say nothing."""
    if flags.job is not None:
        return flags
    samples = resources.files("itk_client") / "samples"
    changes: dict[str, Any] = {}
    if flags.image is None and flags.video is None:
        picture = "couple.png" if flags.audio2 else "portrait.png"
        changes["image"] = str(samples / picture)
    if flags.audio is None and flags.tts_text is None:
        changes["audio"] = str(samples / "speech.wav")
    if flags.prompt is None:
        changes["prompt"] = DEFAULT_PROMPT
    if flags.preset is None:
        changes["preset"] = "draft"
    return evolve(flags, **changes)


def report(result: Result, saved: SavedFiles, plan: DemoPlan) -> None:
    """Say where the files are, and what made them."""
    if plan.is_json:
        print_json({**describe(result), "files": paths_of(saved)})
        return
    for path in paths_of(saved).values():
        print_line(path)


def paths_of(saved: SavedFiles) -> dict[str, str]:
    """The paths of the files that there are."""
    found = {"video": saved.video, "thumbnail": saved.thumbnail, "metadata": saved.metadata}
    return {kind: str(path) for kind, path in found.items() if path is not None}


def _make(
    client: Client,
    raw: dict[str, Any],
    *,
    process: EndpointProcess,
    screen: Screen,
    began: float,
    plan: DemoPlan,
) -> tuple[SavedFiles, Result]:
    screen.advance("sending the job", pct=None, group="send")
    job = client.submit(raw)
    started: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Started | Progressed) and not started:
            started.append(time.monotonic())
        if isinstance(event, Unreachable):
            process.check()

    status = follow(job, screen, on_event=listen)
    result = result_of(status, fetch=client.fetch)
    if isinstance(result, BatchResult):
        raise EndpointProcessError(message="the demo makes one video: give a job, not a batch")
    name = plan.name or _picture_name(raw)
    saved = save(result, plan.out, name=name)
    ended = time.monotonic()
    taken = started[0] if started else began
    screen.close()
    _say_times(screen, Stopwatch(taken - began, ended - taken), result)
    return saved, result


def _say_times(screen: Screen, times: Stopwatch, result: Result) -> None:
    video = result.output.video
    screen.say(
        f"{video.duration_seconds:.2f} s of video, {video.frames} frames at {video.fps:g} fps"
    )
    screen.say(f"start-up {times.startup_seconds:.1f} s, job {times.job_seconds:.1f} s")
    if result.is_tiny_model and not any("tiny" in warning for warning in result.warnings):
        screen.say(TINY_NOTE)
    for warning in result.warnings:
        screen.say(f"note: {warning}")


def _picture_name(raw: dict[str, Any]) -> str | None:
    picture = raw["input"].get("cond_video")
    return picture.stem if isinstance(picture, Path) else None
