"""The commands: each one asks the SDK and says what came."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from itk_client.client import Client
from itk_client.errors import JobError
from itk_client.job import Job, save
from itk_client.preparing import draft_job
from itk_client.results import BatchResult, Result, SavedFiles, result_of
from itk_client.words import stage_words

from .demo import DemoPlan, paths_of, run_demo
from .endpoint_process import EndpointCommand, EndpointProcess
from .flags import (
    OUTCOME,
    EndpointFlags,
    GenerationFlags,
    JobFlags,
    StorageFlags,
    job_from,
)
from .following import describe, follow, status_object
from .screen import Screen, print_json, print_line

_Out = Annotated[Path, Parameter(help="Folder for the files.", group=OUTCOME)]
_Name = Annotated[str | None, Parameter(help="Name of the files without extension.", group=OUTCOME)]
_Timeout = Annotated[
    float | None,
    Parameter(help="Stop waiting after this time; the job goes on.", group=OUTCOME),
]
_JobId = Annotated[str, Parameter(name="job-id", help="Id that submit printed.", group=OUTCOME)]
_NO_JOB, _NO_GENERATION, _NO_STORAGE, _NO_ENDPOINT = (
    JobFlags(),
    GenerationFlags(),
    StorageFlags(),
    EndpointFlags(),
)


def generate(
    *,
    flags: JobFlags = _NO_JOB,
    generation: GenerationFlags = _NO_GENERATION,
    storage: StorageFlags = _NO_STORAGE,
    endpoint: EndpointFlags = _NO_ENDPOINT,
    out: _Out = Path("out"),
    name: _Name = None,
    timeout_seconds: _Timeout = None,
) -> None:
    """Make a video and bring it here: submit, follow, download.

    Ctrl-C cancels the job; a second Ctrl-C leaves it.
    """
    with _client(endpoint) as client, Screen() as screen:
        job = _submit(client, flags, generation=generation, storage=storage)
        screen.say(f"job {job.id}")
        status = follow(job, screen, timeout_seconds=timeout_seconds)
        result = result_of(status, fetch=client.fetch)
        files = _save_all(result, out, name=name)
        screen.close()
        _tell_result(result, files, is_json=endpoint.json, facts=describe(result, status))


def submit(
    *,
    flags: JobFlags = _NO_JOB,
    generation: GenerationFlags = _NO_GENERATION,
    storage: StorageFlags = _NO_STORAGE,
    endpoint: EndpointFlags = _NO_ENDPOINT,
) -> None:
    """Send a job and print its id without waiting."""
    with _client(endpoint) as client:
        job = _submit(client, flags, generation=generation, storage=storage)
        if endpoint.json:
            print_json({"job_id": job.id, "request_id": job.request_id})
        else:
            print_line(job.id)


def validate(
    *,
    flags: JobFlags = _NO_JOB,
    generation: GenerationFlags = _NO_GENERATION,
    storage: StorageFlags = _NO_STORAGE,
    json: Annotated[
        bool,
        Parameter(
            help="Print the request.",
            group=OUTCOME,
            negative="",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Check a job here, without an endpoint, and name everything that is wrong with it."""
    draft = draft_job(
        job_from(flags, generation, storage),
        execution_timeout_seconds=flags.execution_timeout_seconds,
        ttl_seconds=flags.ttl_seconds,
        webhook=flags.webhook,
    )
    if json:
        print_json(draft.raw)
    else:
        print_line("the job is valid")


def status(job_id: _JobId, endpoint: EndpointFlags = _NO_ENDPOINT) -> None:
    """Look at a job once."""
    with _client(endpoint) as client:
        look = client.job(job_id).status()
    if endpoint.json:
        print_json(status_object(look))
        return
    progress = look.progress
    far = f": {stage_words(progress)}, {progress.pct:.0f}%" if progress else ""
    print_line(f"{look.state}{far}")


def wait(
    job_id: _JobId, endpoint: EndpointFlags = _NO_ENDPOINT, *, timeout_seconds: _Timeout = None
) -> None:
    """Follow a job until it is finished; fails unless it completed."""
    with _client(endpoint) as client, Screen() as screen:
        look = follow(client.job(job_id), screen, timeout_seconds=timeout_seconds)
        result_of(look, fetch=client.fetch)
        screen.close()
    if endpoint.json:
        print_json(status_object(look))
    else:
        print_line(str(look.state))


def result(job_id: _JobId, endpoint: EndpointFlags = _NO_ENDPOINT) -> None:
    """Print what a job that was waited for has made, as the worker reported it."""
    with _client(endpoint) as client, Screen() as screen:
        look = follow(client.job(job_id), screen)
        found = result_of(look, fetch=client.fetch)
    if endpoint.json or isinstance(found, BatchResult):
        print_json(describe(found, look))
        return
    for kind, artifact in found.files().items():
        print_line(f"{kind}: {artifact.url or artifact.path}")


def download(
    job_id: _JobId,
    endpoint: EndpointFlags = _NO_ENDPOINT,
    *,
    out: _Out = Path("out"),
    name: _Name = None,
) -> None:
    """Bring the files of a job here, after waiting for it."""
    with _client(endpoint) as client, Screen() as screen:
        look = follow(client.job(job_id), screen)
        found = result_of(look, fetch=client.fetch)
        files = _save_all(found, out, name=name)
        screen.close()
        _tell_result(found, files, is_json=endpoint.json, facts=describe(found, look))


def cancel(job_id: _JobId, endpoint: EndpointFlags = _NO_ENDPOINT) -> None:
    """Ask the endpoint to stop a job."""
    with _client(endpoint) as client:
        look = client.job(job_id).cancel()
    _tell_state(look.job_id, str(look.state), is_json=endpoint.json)


def retry(job_id: _JobId, endpoint: EndpointFlags = _NO_ENDPOINT) -> None:
    """Queue a failed or timed-out job again, under the same id."""
    with _client(endpoint) as client:
        look = client.job(job_id).retry()
    _tell_state(look.job_id, str(look.state), is_json=endpoint.json)


def health(endpoint: EndpointFlags = _NO_ENDPOINT) -> None:
    """Show how many jobs and workers the endpoint has."""
    with _client(endpoint) as client:
        found = client.health()
    if endpoint.json:
        print_json({"jobs": found.jobs, "workers": found.workers})
        return
    for title, counts in (("jobs", found.jobs), ("workers", found.workers)):
        print_line(f"{title}: " + ", ".join(f"{count} {word}" for word, count in counts.items()))


def local(
    *,
    port: Annotated[int, Parameter(help="Port on this machine; 0 takes a free one.")] = 8008,
    volume: Annotated[Path, Parameter(help="Folder that plays the network volume.")] = Path(
        "itk-volume"
    ),
    workers: Annotated[int, Parameter(help="Worker processes.")] = 1,
) -> int:
    """Run an endpoint on this machine until Ctrl-C."""
    command = EndpointCommand(volume=volume, port=port, workers=workers)
    with EndpointProcess(command) as process:
        address = process.address()
        print_line(f"listening: itk generate --base-url {address.base_url} ...")
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()
    return 0


def demo(
    *,
    flags: JobFlags = _NO_JOB,
    generation: GenerationFlags = _NO_GENERATION,
    out: _Out = Path("out"),
    name: _Name = None,
    volume: Annotated[
        Path | None, Parameter(help="Folder of the endpoint; a temporary one if absent.")
    ] = None,
    json: Annotated[
        bool,
        Parameter(
            help="Print one JSON object on stdout.", group=OUTCOME, negative="", show_default=False
        ),
    ] = False,
) -> None:
    """Make a talking video on this machine, with your files or the packaged ones.

    Starts a local endpoint, submits the job, follows it, downloads the files and stops the
    endpoint. Needs itk-worker, no GPU and no account.
    """
    run_demo(flags, generation, DemoPlan(out=out, name=name, volume=volume, is_json=json))


def _client(endpoint: EndpointFlags) -> Client:
    return Client(endpoint.endpoint_id, base_url=endpoint.base_url, profile=endpoint.profile)


def _submit(client: Client, flags: JobFlags, *, generation: Any, storage: StorageFlags) -> Job:
    return client.submit(
        job_from(flags, generation, storage),
        execution_timeout_seconds=flags.execution_timeout_seconds,
        ttl_seconds=flags.ttl_seconds,
        webhook=flags.webhook,
    )


def _save_all(
    found: Result | BatchResult, out: Path, *, name: str | None
) -> list[SavedFiles | JobError]:
    if isinstance(found, Result):
        return [save(found, out, name=name)]
    saved: list[SavedFiles | JobError] = []
    for index, item in enumerate(found.items):
        if isinstance(item, Result):
            stem = item.output.item_id or f"item-{index}"
            saved.append(save(item, out, name=f"{name}-{stem}" if name else stem))
        else:
            saved.append(item)
    return saved


def _tell_result(
    found: Result | BatchResult,
    files: list[SavedFiles | JobError],
    *,
    is_json: bool,
    facts: dict[str, Any],
) -> None:
    paths = [paths_of(one) if isinstance(one, SavedFiles) else {} for one in files]
    if is_json:
        print_json({**facts, "files": paths[0] if isinstance(found, Result) else paths})
    else:
        for path in (path for group in paths for path in group.values()):
            print_line(path)
    failed = [one for one in files if isinstance(one, JobError)]
    if failed:
        raise failed[0]


def _tell_state(job_id: str, state: str, *, is_json: bool) -> None:
    if is_json:
        print_json({"job_id": job_id, "state": state})
    else:
        print_line(state)
