"""How long a worker may take for a job."""

from attrs import evolve

from .job import Batch, JobInput, JobRequest

MARGIN_SECONDS = 30.0
"""Left at the end for an orderly answer before Runpod stops the job."""
_MARGIN_SHARE = 0.1


def time_limit_seconds(
    asked_seconds: float | None, *, operator_seconds: float | None = None
) -> float | None:
    """Return the worker's own limit: the smaller of two wishes less a margin, None for no limit.

    The margin is 30 s, or a tenth of a limit shorter than 300 s.
    """
    limits = [limit for limit in (asked_seconds, operator_seconds) if limit is not None]
    if not limits:
        return None
    limit = min(limits)
    return limit - min(MARGIN_SECONDS, limit * _MARGIN_SHARE)


def job_limit_seconds(
    job: JobInput | Batch, *, operator_seconds: float | None = None
) -> float | None:
    """Return the worker's own limit for a job that may carry a `deadline_seconds`."""
    return time_limit_seconds(job.deadline_seconds, operator_seconds=operator_seconds)


def with_deadline(request: JobRequest) -> JobRequest:
    """Repeat the policy's execution timeout inside the input, for a worker is not told the policy.

    A deadline that the input already has stays.
    """
    policy = request.policy
    seconds = None if policy is None else policy.execution_timeout_seconds
    if seconds is None or request.input.deadline_seconds is not None:
        return request
    return evolve(request, input=evolve(request.input, deadline_seconds=seconds))
