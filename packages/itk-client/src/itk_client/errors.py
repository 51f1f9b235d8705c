"""Everything that can go wrong for a caller, as exceptions that carry facts."""

from __future__ import annotations

from typing import Any

from attrs import define, field, fields

from .redaction import redacted


@define
class ItkError(Exception):
    """Anything that this SDK raises on purpose."""

    def __str__(self) -> str:
        return self.sentence()

    def __reduce__(self) -> tuple[Any, ...]:
        facts = {spot.name: getattr(self, spot.name) for spot in fields(type(self))}
        return _rebuilt, (type(self), facts)

    def sentence(self) -> str:
        """What happened, for a person."""
        return str(getattr(self, "message", "")) or type(self).__name__


def _rebuilt(kind: type[ItkError], facts: dict[str, Any]) -> ItkError:
    return kind(**facts)


@define
class ConfigError(ItkError):
    """The client lacks something that it needs before it can ask anything."""

    message: str = field(converter=redacted)


@define
class ValidationError(ItkError, ValueError):
    """A job that cannot be sent as it is; `problems` are the schema's, all at once."""

    problems: tuple[Any, ...]

    def sentence(self) -> str:
        """Every problem on its own line."""
        return "\n".join(redacted(str(problem)) for problem in self.problems)


@define
class UploadRequiredError(ItkError):
    """Local files too large to travel inside a request."""

    files: tuple[str, ...]
    total_bytes: int
    limit_bytes: int

    def sentence(self) -> str:
        """The sizes, and the three ways out."""
        return (
            f"{', '.join(self.files)} together have {self.total_bytes / 1e6:.1f} MB; a request "
            f"carries at most {self.limit_bytes / 1e6:.1f} MB of local files. Give an https URL, "
            "a path on the endpoint's volume (/runpod-volume/...), or a smaller file."
        )


@define
class ApiError(ItkError):
    """The endpoint answered, and the answer is no."""

    status: int
    method: str
    path: str
    body: str = field(default="", converter=redacted)
    request_id: str | None = None

    def sentence(self) -> str:
        """Status, request and the beginning of the body."""
        said = f": {self.body}" if self.body else ""
        return f"{self.method} {self.path} was answered with HTTP {self.status}{said}"


@define
class AuthError(ApiError):
    """The API key is missing, wrong, or not allowed at this endpoint."""

    def sentence(self) -> str:
        """What to check; never the key."""
        return (
            f"HTTP {self.status}: the endpoint refused the API key; "
            "check RUNPOD_API_KEY and that the key may use this endpoint"
        )


@define
class NotFoundError(ApiError):
    """No such endpoint, or no such job on it."""


@define
class RateLimitedError(ApiError):
    """Too many requests, for longer than the client is ready to wait."""

    retry_after_seconds: float | None = None

    def sentence(self) -> str:
        """When to come back, if the endpoint said so."""
        when = (
            ""
            if self.retry_after_seconds is None
            else f"; it asks to come back in {self.retry_after_seconds:.0f} s"
        )
        return f"HTTP {self.status}: the endpoint has too many requests{when}"


@define
class ServerError(ApiError):
    """The endpoint, or something before it, failed."""


@define
class BadReplyError(ItkError):
    """An answer that is not what the API promises: not JSON, no id, too large, a redirect."""

    message: str = field(converter=redacted)


@define
class ConnectionFailedError(ItkError):
    """No answer came; asking again is safe and may help."""

    message: str = field(converter=redacted)


@define
class SubmitUnknownError(ItkError):
    """The job was sent and no answer came: it may or may not run."""

    request_id: str | None
    cause: str = field(default="", converter=redacted)

    def sentence(self) -> str:
        """Why the client does not simply send it again, and how to do so safely."""
        again = (
            f"submitting again with request_id={self.request_id!r} cannot run it twice"
            if self.request_id
            else "look at the endpoint's queue before submitting it again"
        )
        return f"the job was sent but no answer came ({self.cause}); it may be running; {again}"


@define
class DownloadError(ItkError):
    """A file of a result did not arrive whole; nothing was left under its name."""

    message: str = field(converter=redacted)


@define
class EndpointProcessError(ItkError):
    """The endpoint on this machine did not start, or died."""

    message: str = field(converter=redacted)
    log_tail: str = field(default="", converter=redacted)


@define
class JobError(ItkError):
    """A job that did not end with a result."""

    job_id: str


@define
class JobFailedError(JobError):
    """The worker reported a coded error, or died with a text."""

    message: str = field(converter=redacted)
    code: str | None = None
    reason: str | None = None
    retryable: bool = False
    at_stage: str | None = None
    hint: str | None = None
    cause: str | None = field(default=None, converter=lambda text: text and redacted(text))
    diagnostics: Any = field(default=None, repr=False)

    def sentence(self) -> str:
        """Code, stage, message and hint."""
        code = f"{self.code}: " if self.code else ""
        stage = f" (at {self.at_stage})" if self.at_stage else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{code}{self.message.rstrip('.')}{stage}.{hint}"


@define
class JobCancelledError(JobError):
    """The job was cancelled."""

    def sentence(self) -> str:
        """Which job."""
        return f"job {self.job_id} was cancelled"


@define
class JobTimedOutError(JobError):
    """The endpoint gave the job up: too long in the queue, or its worker went silent."""

    def sentence(self) -> str:
        """What to raise."""
        return (
            f"job {self.job_id} timed out on the endpoint: it waited too long in the queue "
            "(ttl_seconds) or ran too long (execution_timeout_seconds)"
        )


@define
class ResultExpiredError(JobError):
    """The endpoint does not know the job any more."""

    def sentence(self) -> str:
        """Why that happens."""
        return (
            f"the endpoint does not know job {self.job_id}: results are kept for 30 minutes after "
            "the end and jobs until their time to live; or the id or the endpoint is another"
        )


@define
class ResultMissingError(JobError):
    """The job is called complete and carries no result."""

    def sentence(self) -> str:
        """The usual cause."""
        return (
            f"job {self.job_id} completed without an output: usually the result was larger than "
            "the endpoint accepts; use output_config.store s3 or volume instead of inline"
        )


@define
class WaitTimeoutError(JobError):
    """The caller's patience ended before the job did; the job goes on."""

    seconds: float
    state: str

    def sentence(self) -> str:
        """How long, and in which state it was last seen."""
        return (
            f"job {self.job_id} was not finished after {self.seconds:.0f} s "
            f"(last seen {self.state}); it goes on"
        )
