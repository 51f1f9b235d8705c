"""What a finished job left: typed results whose files can be downloaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from attrs import field, frozen

from itk_schema import (
    BatchOutput,
    ErrorCode,
    InvalidJobError,
    JobFailure,
    JobSuccess,
    dump,
    parse_failure,
    parse_output,
)

from .downloads import OnBytes, Source
from .errors import (
    BadReplyError,
    DownloadError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobTimedOutError,
    ResultMissingError,
)
from .protocol import JobState, JobStatus

Fetch: TypeAlias = Callable[[Source, Path, OnBytes | None], Any]
"""How a client brings a file: returns the path, or something to await for it."""


@frozen(kw_only=True)
class Artifact:
    """A file that a job left: at an address, or at a path on the endpoint's volume."""

    kind: str
    name: str
    """The file's own name."""
    url: str | None = field(default=None, repr=False)
    path: str | None = None
    mime: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    _fetch: Fetch = field(repr=False, eq=False)

    def download(self, target: str | Path | None = None, *, on_bytes: OnBytes | None = None) -> Any:
        """Bring the file here, whole and checked; a folder as target keeps the file's name.

        With an AsyncClient the result is to be awaited.

        Raises:
            DownloadError: when there is no address, or the file did not arrive whole.
        """
        if self.url is None:
            where = f" {self.path}" if self.path else ""
            message = (
                f"the {self.kind} has no address; it is on the endpoint's volume{where}: "
                "fetch it from there (S3 API of the volume, or a Pod that mounts it)"
            )
            raise DownloadError(message=message)
        place = Path(target) if target is not None else Path(self.name)
        if place.is_dir():
            place = place / self.name
        source = Source(url=self.url, bytes=self.bytes, sha256=self.sha256)
        return self._fetch(source, place, on_bytes)


@frozen(kw_only=True)
class SavedFiles:
    """Where the files of a result are on this machine; None for those that the job lacks."""

    video: Path
    thumbnail: Path | None = None
    metadata: Path | None = None


@frozen(kw_only=True)
class Result:
    """A video and what is known about it."""

    output: JobSuccess
    """The worker's whole answer."""
    video: Artifact
    thumbnail: Artifact | None = None
    metadata: Artifact | None = None

    @property
    def job_id(self) -> str:
        """The job that made it."""
        return self.output.job_id

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the worker thought worth saying."""
        return tuple(self.output.warnings or ())

    @property
    def is_tiny_model(self) -> bool:
        """Whether the small demonstration model made it."""
        return getattr(self.output.model, "name", None) == "tiny"

    def files(self) -> dict[str, Artifact]:
        """Video, thumbnail and metadata by name, those that there are."""
        found = {"video": self.video, "thumbnail": self.thumbnail, "metadata": self.metadata}
        return {kind: one for kind, one in found.items() if one is not None}

    def targets(self, folder: Path, *, name: str | None = None) -> dict[str, Path]:
        """The place of each file in a folder; `name` replaces the files' own name."""
        stem = name or Path(self.video.name).stem
        ends = {"video": ".mp4", "thumbnail": ".jpg", "metadata": ".json"}
        return {kind: folder / f"{stem}{ends[kind]}" for kind in self.files()}

    def to_dict(self) -> dict[str, Any]:
        """The worker's answer as it came over the wire."""
        return dict(dump(self.output))


@frozen(kw_only=True)
class BatchResult:
    """The items of a batch in their order: each a result, or the error that it ended with."""

    output: BatchOutput
    items: tuple[Result | JobError, ...]

    @property
    def job_id(self) -> str:
        """The job that made it."""
        return self.output.job_id

    def to_dict(self) -> dict[str, Any]:
        """The worker's answer as it came over the wire."""
        return dict(dump(self.output))


def result_of(status: JobStatus, *, fetch: Fetch) -> Result | BatchResult:
    """The result of a finished job.

    Raises:
        JobError: the kind that says how it ended, when it left no result.
        BadReplyError: when the output is none that this version can read.
    """
    if status.state != JobState.COMPLETED:
        raise _failure_of(status)
    if status.output is None or status.output in ({}, []):
        raise ResultMissingError(job_id=status.job_id)
    try:
        output = parse_output(status.output)
    except InvalidJobError as error:
        message = f"job {status.job_id} completed with an output that cannot be read: {error}"
        raise BadReplyError(message=message) from error
    if isinstance(output, JobFailure):
        raise _failed(status.job_id, output)
    if isinstance(output, BatchOutput):
        items = tuple(_item(one, fetch=fetch) for one in output.items)
        return BatchResult(output=output, items=items)
    return _result(output, fetch=fetch)


async def awaited(path: Any) -> Path:
    """The path, whether it had to be awaited or not."""
    return await path if asyncio.iscoroutine(path) else path


def _item(item: Any, *, fetch: Fetch) -> Result | JobError:
    if isinstance(item, JobFailure):
        return _failed(item.job_id, item)
    return _result(item, fetch=fetch)


def _result(output: JobSuccess, *, fetch: Fetch) -> Result:
    video = output.video
    name = Path(video.key or video.path or f"{output.job_id}.mp4").name
    stem = Path(name).stem
    extra = {
        "thumbnail": (getattr(video, "thumbnail_url", None), ".jpg", "image/jpeg"),
        "metadata": (output.metadata_url, ".json", "application/json"),
    }
    return Result(
        output=output,
        video=Artifact(
            kind="video",
            name=name,
            url=video.url,
            path=video.path,
            mime=video.mime,
            bytes=video.bytes,
            sha256=video.sha256,
            fetch=fetch,
        ),
        **{
            kind: Artifact(kind=kind, name=stem + end, url=url, mime=mime, fetch=fetch)
            for kind, (url, end, mime) in extra.items()
            if url
        },
    )


def _failure_of(status: JobStatus) -> JobError:
    if status.state == JobState.CANCELLED:
        return JobCancelledError(job_id=status.job_id)
    if status.state == JobState.TIMED_OUT:
        return JobTimedOutError(job_id=status.job_id)
    return _failed(status.job_id, parse_failure(status.error, job_id=status.job_id))


def _failed(job_id: str, failure: JobFailure) -> JobError:
    error = failure.error
    if error.code == ErrorCode.E_CANCELLED:
        return JobCancelledError(job_id=job_id)
    words = [word for word in (error.cause_class, error.cause_message) if word]
    return JobFailedError(
        job_id=job_id,
        message=error.message,
        code=str(error.code),
        reason=error.reason,
        retryable=error.retryable,
        at_stage=error.at_stage,
        hint=error.hint,
        cause=": ".join(words) or None,
        diagnostics=failure.diagnostics,
    )
