"""Makes the request of a job: defaults, local files found and replaced, everything checked."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from attrs import field, frozen

from itk_schema import (
    DEFAULT_POLICY,
    FRAMES_PER_SECOND,
    Batch,
    InvalidJobError,
    JobInput,
    JobRequest,
    Problem,
    dump,
    limits,
    parse_request,
    to_json,
)

from .errors import UploadRequiredError, ValidationError
from .speech_length import speech_seconds

AnyJob: TypeAlias = "JobInput | Batch | JobRequest | Mapping[str, Any]"
"""A schema value, or the same as a mapping, in which media may also be local files."""

_LARGEST = {
    "cond_audio": limits.MAX_SPEECH_BYTES,
    "masks": limits.MAX_MASK_BYTES,
    "cond_video": limits.MAX_PICTURE_BYTES,
}
_VOLUME = "/runpod-volume/"
_CHUNK_FRAMES = 81
_LONGEST_PATH = 1024


@frozen(kw_only=True)
class LocalFile:
    """A file of this machine that a job names."""

    place: str
    """Where in the job, such as `input.cond_audio.person1`."""
    path: Path
    bytes: int

    @property
    def mime(self) -> str:
        """The MIME type by the name; the worker looks at the content."""
        suffix = self.path.suffix.lower()
        for mime, suffixes in limits.MEDIA_TYPES.items():
            if suffix in suffixes:
                return mime
        return "application/octet-stream"


@frozen(kw_only=True)
class Draft:
    """A job with its defaults in place, whose local files are still to be brought."""

    raw: dict[str, Any] = field(repr=False)
    files: tuple[LocalFile, ...]
    request_id: str | None


def draft_job(
    job: AnyJob,
    *,
    execution_timeout_seconds: float | None = None,
    ttl_seconds: float | None = None,
    webhook: str | None = None,
) -> Draft:
    """The draft of a job, checked as far as it can be without its files' content.

    What the caller did not say is filled in: an id of the request (so that a repeated submission
    is the same job), the policy and the deadline inside the input, and the mode `streaming` where
    the speech is longer than one chunk or of unknown length.

    Raises:
        ValidationError: with everything that is wrong, each with its place.
    """
    raw = _as_request(job)
    items = list(_items(raw))
    files = tuple(file for place, item in items for file in _local_files(place, item))
    _fill_in(
        raw,
        items,
        files=files,
        policy={
            "executionTimeout": _milliseconds(execution_timeout_seconds),
            "ttl": _milliseconds(ttl_seconds),
        },
    )
    if webhook is not None:
        raw["webhook"] = webhook
    probe = _replaced(raw, {file.place: f"{_VOLUME}incoming/file" for file in files})
    try:
        parse_request(probe)
    except InvalidJobError as error:
        raise ValidationError(problems=error.problems) from None
    return Draft(raw=raw, files=files, request_id=raw["input"].get("request_id"))


def request_body(draft: Draft, places: Mapping[str, str]) -> str:
    """The JSON of the request once every local file has its place in the job.

    Raises:
        UploadRequiredError: when the request is larger than the endpoint takes.
    """
    body = to_json(_replaced(draft.raw, places))
    size = len(body.encode())
    if size > limits.MAX_REQUEST_BYTES:
        raise UploadRequiredError(
            files=tuple(file.path.name for file in draft.files) or ("the request's inline files",),
            total_bytes=size,
            limit_bytes=limits.MAX_REQUEST_BYTES,
        )
    return body


def _as_request(job: AnyJob) -> dict[str, Any]:
    if isinstance(job, JobRequest):
        return dict(dump(job))
    if isinstance(job, JobInput | Batch):
        return {"input": dump(job)}
    if not isinstance(job, Mapping):
        message = (
            f"a job must be a JobInput, Batch, JobRequest or mapping, got {type(job).__name__}"
        )
        raise TypeError(message)
    raw = copy.deepcopy(dict(job))
    return raw if "input" in raw else {"input": raw}


def _items(raw: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    given = raw.get("input")
    if not isinstance(given, dict):
        return
    batch = given.get("batch")
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        given["batch"] = batch = list(batch)
        for index, item in enumerate(batch):
            if isinstance(item, dict):
                yield f"input.batch[{index}]", item
    else:
        yield "input", given


def _media(item: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """(holder, key, place below the item) of everything that may be a file."""
    yield item, "cond_video", "cond_video"
    for group in ("cond_audio", "masks"):
        holder = item.get(group)
        if isinstance(holder, dict):
            for person in ("person1", "person2"):
                yield holder, person, f"{group}.{person}"


def _local_files(place: str, item: dict[str, Any]) -> Iterator[LocalFile]:
    for holder, key, below in _media(item):
        value = holder.get(key)
        if isinstance(value, Path) or (isinstance(value, str) and _may_be_path(value)):
            path = Path(value).expanduser()
            where = f"{place}.{below}"
            if path.is_file():
                holder[key] = str(path)
                yield LocalFile(place=where, path=path, bytes=_size(where, path))
            elif isinstance(value, Path) or _looks_local(value):
                raise _unusable(where, needed="an existing file", came=f"{value}, which is none")


def _may_be_path(value: str) -> bool:
    lowered = value[:16].lower()
    remote = ("http://", "https://", "data:", _VOLUME)
    return 0 < len(value) <= _LONGEST_PATH and "\0" not in value and not lowered.startswith(remote)


def _looks_local(value: str) -> bool:
    known = limits.extensions(limits.MEDIA_TYPES)
    absolute = value.startswith("/")
    return not absolute and (value.lower().endswith(known) or value.startswith(("./", "../", "~")))


def _size(place: str, path: Path) -> int:
    size = path.stat().st_size
    most = next(most for kind, most in _LARGEST.items() if kind in place)
    if size == 0:
        raise _unusable(place, needed="a file with content", came=f"{path}, which is empty")
    if size > most:
        raise _unusable(place, needed=f"at most {most} bytes", came=f"{path} with {size}")
    return size


def _unusable(place: str, *, needed: str, came: str) -> ValidationError:
    return ValidationError(problems=(Problem(path=place, needed=needed, came=came),))


def _fill_in(
    raw: dict[str, Any],
    items: list[tuple[str, dict[str, Any]]],
    *,
    files: tuple[LocalFile, ...],
    policy: dict[str, int | None],
) -> None:
    said = raw.get("policy")
    if said is None or isinstance(said, dict):
        asked = {name: value for name, value in policy.items() if value is not None}
        raw["policy"] = {**dump(DEFAULT_POLICY), **(said or {}), **asked}
    whole = raw.get("input")
    if isinstance(whole, dict):
        whole.setdefault("request_id", uuid.uuid4().hex)
        allowed = raw["policy"].get("executionTimeout") if isinstance(raw["policy"], dict) else None
        if isinstance(allowed, int) and not isinstance(allowed, bool):
            whole.setdefault("deadline_seconds", allowed / 1000)
    lengths = {file.place: file for file in files}
    for place, item in items:
        if item.get("mode") is None and _is_long(place, item, files=lengths):
            item["mode"] = "streaming"


def _is_long(place: str, item: dict[str, Any], *, files: Mapping[str, LocalFile]) -> bool:
    """Whether the speech is longer than one chunk, as far as can be told cheaply."""
    speeches = item.get("cond_audio")
    if not isinstance(speeches, dict):
        return True
    seconds: list[float] = []
    for person in speeches:
        file = files.get(f"{place}.cond_audio.{person}")
        length = speech_seconds(file.path) if file else None
        if length is None:
            return True
        seconds.append(length)
    total = sum(seconds) if item.get("audio_type") == "add" else max(seconds, default=0.0)
    total = _cut(total, item)
    frames = item.get("frame_num", _CHUNK_FRAMES)
    return not isinstance(frames, int) or total * FRAMES_PER_SECOND > frames


def _cut(total: float, item: dict[str, Any]) -> float:
    start, end = item.get("speech_start_seconds"), item.get("speech_end_seconds")
    first = start if isinstance(start, int | float) else 0.0
    last = min(end, total) if isinstance(end, int | float) else total
    return max(0.0, last - first)


def _replaced(raw: dict[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    result = {**raw, "input": copy.copy(raw.get("input"))}
    if isinstance(result["input"], dict) and isinstance(result["input"].get("batch"), list):
        result["input"]["batch"] = [copy.copy(item) for item in result["input"]["batch"]]
    for place, item in _items(result):
        for group in ("cond_audio", "masks"):
            if isinstance(item.get(group), dict):
                item[group] = dict(item[group])
        for holder, key, below in _media(item):
            if f"{place}.{below}" in places:
                holder[key] = places[f"{place}.{below}"]
    return result


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
