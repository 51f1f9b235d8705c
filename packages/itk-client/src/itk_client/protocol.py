"""Turns values into requests and replies into values, without doing any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import quote

from attrs import field, frozen

from itk_schema import Progress, parse_json, parse_progress

from .errors import (
    ApiError,
    AuthError,
    BadReplyError,
    ConnectionFailedError,
    ItkError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    SubmitUnknownError,
)
from .pacing import RetryPolicy, retry_after_seconds

MAX_REPLY_BYTES = 32 * 1024 * 1024
"""Longer answers are refused; the platform itself stops at 20 MB."""

_EXCERPT_CHARACTERS = 300


class JobState(StrEnum):
    """The states that Runpod documents."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


_FINAL = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT}
_OTHER_SPELLINGS = {"RUNNING": JobState.IN_PROGRESS}


@frozen(kw_only=True)
class JobStatus:
    """One look at a job; `state` is the endpoint's own word where it is none of ours."""

    job_id: str
    state: JobState | str
    output: Any = field(default=None, repr=False)
    error: Any = field(default=None, repr=False)
    delay_seconds: float | None = None
    execution_seconds: float | None = None
    worker_id: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in _FINAL

    @property
    def progress(self) -> Progress | None:
        """What the worker last reported, while it works."""
        return None if self.is_finished else parse_progress(self.output)


@frozen(kw_only=True)
class Health:
    """How many jobs and workers the endpoint has, by state; unknown words are kept."""

    jobs: dict[str, int]
    workers: dict[str, int]


@frozen(kw_only=True)
class ApiRequest:
    """One call of the endpoint's API; `path` is relative to the endpoint."""

    method: Literal["GET", "POST"]
    path: str
    body: str | None = field(default=None, repr=False)
    repeat: Literal["always", "unsent", "create"] = "always"
    """When a try may be repeated: whatever happened; or only if nothing was sent; "create" is
    the latter for a request that starts paid work."""
    request_id: str | None = None


@frozen(kw_only=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@frozen(kw_only=True)
class Fault:
    """Why nothing came back; "unsent" means that the endpoint cannot have seen the request."""

    kind: Literal["unsent", "unanswered"]
    message: str


def run_request(body: str, *, request_id: str | None = None) -> ApiRequest:
    """Submit a job; `body` is the JSON of a JobRequest."""
    return ApiRequest(method="POST", path="/run", body=body, repeat="create", request_id=request_id)


def status_request(job_id: str) -> ApiRequest:
    """Look at a job."""
    return ApiRequest(method="GET", path=f"/status/{_segment(job_id)}")


def cancel_request(job_id: str) -> ApiRequest:
    """Ask for a job to be stopped."""
    return ApiRequest(method="POST", path=f"/cancel/{_segment(job_id)}")


def retry_request(job_id: str) -> ApiRequest:
    """Queue a failed or timed-out job again, under the same id."""
    return ApiRequest(method="POST", path=f"/retry/{_segment(job_id)}", repeat="unsent")


def health_request() -> ApiRequest:
    """Ask how the endpoint is."""
    return ApiRequest(method="GET", path="/health")


def _segment(job_id: str) -> str:
    if not job_id or job_id in {".", ".."}:
        message = f"a job id was needed, got {job_id!r}"
        raise ValueError(message)
    return quote(job_id, safe="")


class Exchange:
    """One request through all its tries: hears what happened, says what to do."""

    def __init__(self, request: ApiRequest, *, policy: RetryPolicy) -> None:
        self.request = request
        self._policy = policy
        self._failures = 0

    def heard(self, outcome: Reply | Fault, *, chance: float) -> Reply | float:
        """The reply if the endpoint agreed, or the seconds to wait before the next try.

        Raises:
            ItkError: when another try is not allowed, or would not help.
        """
        if isinstance(outcome, Reply) and 200 <= outcome.status < 300:
            return outcome
        error = self._error(outcome)
        self._failures += 1
        if self._failures >= self._policy.tries or not self._may_repeat(outcome):
            raise error
        pause = self._policy.pause_seconds(self._failures, chance=chance)
        if isinstance(outcome, Reply):
            asked = retry_after_seconds(outcome.headers)
            if asked is not None and asked > self._policy.longest_retry_after_seconds:
                raise error
            pause = pause if asked is None else asked
        return pause

    def _may_repeat(self, outcome: Reply | Fault) -> bool:
        freely = self.request.repeat == "always"
        if isinstance(outcome, Fault):
            return freely or outcome.kind == "unsent"
        if freely:
            return outcome.status in {408, 429} or outcome.status >= 500
        return outcome.status in {429, 503}

    def _error(self, outcome: Reply | Fault) -> ItkError:
        creates = self.request.repeat == "create"
        if isinstance(outcome, Fault):
            if creates and outcome.kind == "unanswered":
                return SubmitUnknownError(request_id=self.request.request_id, cause=outcome.message)
            return ConnectionFailedError(message=outcome.message)
        if creates and outcome.status in {408, 502, 504}:
            return SubmitUnknownError(
                request_id=self.request.request_id, cause=f"HTTP {outcome.status} from a gateway"
            )
        return refusal(self.request, outcome)


def refusal(request: ApiRequest, reply: Reply) -> ItkError:
    """The exception for an answer that is not a success."""
    if 300 <= reply.status < 400:
        # Following it would hand the API key to another host.
        return BadReplyError(
            message=f"{request.method} {request.path} was redirected (HTTP {reply.status}); "
            "give the final base_url instead"
        )
    facts: dict[str, Any] = {
        "status": reply.status,
        "method": request.method,
        "path": request.path,
        "body": _excerpt(reply),
        "request_id": request.request_id,
    }
    if reply.status == 429:
        facts["retry_after_seconds"] = retry_after_seconds(reply.headers)
        return RateLimitedError(**facts)
    if reply.status in {401, 403}:
        return AuthError(**facts)
    if reply.status == 404:
        return NotFoundError(**facts)
    if reply.status >= 500:
        return ServerError(**facts)
    return ApiError(**facts)


def _excerpt(reply: Reply) -> str:
    kind = reply.headers.get("content-type", "")
    if "html" in kind.lower() or reply.body.lstrip()[:1] == b"<":
        return "(an HTML page, not an answer of the endpoint)"
    text = reply.body.decode("utf-8", "replace").strip()
    return text if len(text) <= _EXCERPT_CHARACTERS else text[:_EXCERPT_CHARACTERS] + "..."


def parse_job_status(reply: Reply, *, job_id: str | None = None) -> JobStatus:
    """The status object of /run, /status, /cancel and /retry.

    Raises:
        BadReplyError: when the answer is not an object with an id and a status.
    """
    raw = _object(reply)
    found = raw.get("id", job_id)
    state = raw.get("status")
    if not isinstance(found, str) or not found:
        raise BadReplyError(message="the endpoint's answer has no job id")
    if not isinstance(state, str) or not state:
        raise BadReplyError(message=f"the endpoint's answer for job {found} has no status")
    worker = raw.get("workerId")
    return JobStatus(
        job_id=found,
        state=_state(state),
        output=raw.get("output"),
        error=raw.get("error"),
        delay_seconds=_seconds(raw.get("delayTime")),
        execution_seconds=_seconds(raw.get("executionTime")),
        worker_id=worker if isinstance(worker, str) else None,
    )


def parse_health(reply: Reply) -> Health:
    """The counts of /health."""
    raw = _object(reply)
    return Health(jobs=_counts(raw.get("jobs")), workers=_counts(raw.get("workers")))


def _object(reply: Reply) -> dict[str, Any]:
    try:
        raw = parse_json(reply.body)
    except ValueError as error:
        message = f"the endpoint's answer is not JSON: {_excerpt(reply)}"
        raise BadReplyError(message=message) from error
    if not isinstance(raw, dict):
        message = f"the endpoint's answer is a {type(raw).__name__}, not an object"
        raise BadReplyError(message=message)
    return raw


def _state(word: str) -> JobState | str:
    spelled = _OTHER_SPELLINGS.get(word, word)
    return JobState(spelled) if spelled in set(JobState) else spelled


def _seconds(milliseconds: object) -> float | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000


def _counts(raw: object) -> dict[str, int]:
    if not isinstance(raw, dict):
        return {}
    return {str(name): count for name, count in raw.items() if isinstance(count, int)}
