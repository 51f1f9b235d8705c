"""What a command's end means to a script: exit codes and the JSON of an error."""

from __future__ import annotations

from typing import Any

from attrs import define

from itk_client.errors import (
    ApiError,
    AuthError,
    BadReplyError,
    ConfigError,
    ConnectionFailedError,
    DownloadError,
    ItkError,
    JobCancelledError,
    JobError,
    JobTimedOutError,
    ResultExpiredError,
    SubmitUnknownError,
    UploadRequiredError,
    ValidationError,
    WaitTimeoutError,
)

OK, GENERIC, USAGE, CONFIG, JOB, TIMEOUT, NETWORK, EXPIRED = range(8)
INTERRUPTED = 130
TERMINATED = 143

MEANINGS = {
    OK: "done",
    GENERIC: "something else went wrong",
    USAGE: "the command or the job is not valid; nothing was sent",
    CONFIG: "the API key, endpoint or settings are missing or refused",
    JOB: "the job failed or was cancelled",
    TIMEOUT: "the time was over",
    NETWORK: "the endpoint or a file could not be reached",
    EXPIRED: "the endpoint does not know the job any more",
    INTERRUPTED: "Ctrl-C",
}

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ValidationError, USAGE),
    (UploadRequiredError, USAGE),
    (ConfigError, CONFIG),
    (AuthError, CONFIG),
    (ResultExpiredError, EXPIRED),
    (WaitTimeoutError, TIMEOUT),
    (JobTimedOutError, TIMEOUT),
    (JobError, JOB),
    (ConnectionFailedError, NETWORK),
    (SubmitUnknownError, NETWORK),
    (ApiError, NETWORK),
    (BadReplyError, NETWORK),
    (DownloadError, NETWORK),
)


@define
class LeftError(ItkError):
    """The person left; the job goes on."""

    job_id: str

    def sentence(self) -> str:
        """How to come back."""
        return f"left; job {self.job_id} is not waited for: itk status {self.job_id}"


@define
class InterruptedJobError(JobCancelledError):
    """The person cancelled the job with Ctrl-C."""


def exit_code(error: Exception) -> int:
    """The code with which a command ends on this error."""
    if isinstance(error, LeftError | InterruptedJobError):
        return INTERRUPTED
    return next((code for kind, code in _CODES if isinstance(error, kind)), GENERIC)


def error_object(error: ItkError) -> dict[str, Any]:
    """The error as one JSON object."""
    facts: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    for name in ("job_id", "code", "reason", "retryable", "at_stage", "hint", "request_id"):
        value = getattr(error, name, None)
        if value is not None:
            facts[name] = value
    if isinstance(error, ValidationError):
        facts["problems"] = [str(problem) for problem in error.problems]
    return {"status": "error", "error": facts}
