"""Reads what a client sends to /run: input, policy, webhook."""

from __future__ import annotations

from typing import Any

from attrs import frozen

SECOND_MS = 1000
DAY_MS = 86_400 * SECOND_MS
DEFAULT_EXECUTION_TIMEOUT_MS = 600 * SECOND_MS
DEFAULT_TTL_MS = DAY_MS
# name on the wire: (smallest, largest) in milliseconds, as Runpod documents them
BOUNDS_MS = {
    "executionTimeout": (5 * SECOND_MS, 7 * DAY_MS),
    "ttl": (10 * SECOND_MS, 7 * DAY_MS),
}


class RefusedRequestError(ValueError):
    """The platform would answer this request with 400; str() says why."""


@frozen(kw_only=True)
class Submission:
    """One accepted request: what the worker gets and how long it may take."""

    input: Any
    extras: dict[str, Any]  # siblings of input that reach the worker: webhook, s3Config
    webhook: str | None
    execution_timeout_seconds: float
    ttl_seconds: float
    low_priority: bool
    request_id: str | None = None  # the caller's own id for the job


def read_submission(body: Any) -> Submission:
    """The submission that a request body asks for.

    Raises:
        RefusedRequestError: no input object, or a policy outside the platform's bounds.
    """
    if not isinstance(body, dict):
        message = f"the body must be a JSON object with an input, got {type(body).__name__}"
        raise RefusedRequestError(message)
    if not isinstance(body.get("input"), dict) or not body["input"]:
        message = "input: needed a JSON object that is not empty"
        raise RefusedRequestError(message)
    webhook = body.get("webhook")
    if webhook is not None and not _is_web_address(webhook):
        message = "webhook: needed an http or https URL"
        raise RefusedRequestError(message)
    policy = body.get("policy") or {}
    if not isinstance(policy, dict):
        message = "policy: needed a JSON object"
        raise RefusedRequestError(message)
    timeout_ms = _milliseconds(policy, "executionTimeout", DEFAULT_EXECUTION_TIMEOUT_MS)
    ttl_ms = _milliseconds(policy, "ttl", DEFAULT_TTL_MS)
    extras = {key: body[key] for key in ("webhook", "s3Config") if body.get(key) is not None}
    return Submission(
        input=body["input"],
        extras=extras,
        webhook=webhook,
        execution_timeout_seconds=timeout_ms / SECOND_MS,
        ttl_seconds=ttl_ms / SECOND_MS,
        low_priority=policy.get("lowPriority") is True,
        request_id=asked if isinstance(asked := body["input"].get("request_id"), str) else None,
    )


def _milliseconds(policy: dict[str, Any], name: str, default: int) -> int:
    value = policy.get(name)
    if value is None:
        return default
    low, high = BOUNDS_MS[name]
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"policy.{name}: needed a whole number of milliseconds"
        raise RefusedRequestError(message)
    if not low <= value <= high:
        message = f"policy.{name}: needed {low}..{high} milliseconds, got {str(value)[:20]}"
        if value < low and value * SECOND_MS <= high and value > 0:
            message += f"; did you mean {value * SECOND_MS}?"
        raise RefusedRequestError(message)
    return value


def _is_web_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))
