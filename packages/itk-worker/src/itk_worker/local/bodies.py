"""Reads request bodies and writes answers, strictly and within limits."""

from __future__ import annotations

import json  # noqa: TID251  the platform's own protocol, which is not the job contract
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response


class TooLargeError(ValueError):
    """The body is larger than the platform takes."""


class NotJsonError(ValueError):
    """The body is not strict JSON in UTF-8."""


async def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: more than `limit_bytes`; what follows is not kept.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit_bytes:
                message = f"the body is larger than {limit_bytes} bytes"
                raise TooLargeError(message)
            parts.append(part)
    except ClientDisconnect:
        message = "the body ended early"
        raise NotJsonError(message) from None
    return b"".join(parts)


def parse_json(body: bytes) -> Any:
    """The value of a strict JSON text: no NaN, no lone surrogates, no endless nesting.

    Raises:
        NotJsonError: with a sentence that says what is wrong.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        dump_json(value)
    except (ValueError, RecursionError) as error:
        message = f"the body is not JSON: {str(error)[:200]}"
        raise NotJsonError(message) from None
    return value


def dump_json(value: Any) -> bytes:
    """Strict JSON in UTF-8; ValueError for what JSON cannot say."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")


def answer(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(dump_json(value), status_code=status, media_type="application/json")


def refusal(message: str, status: int) -> Response:
    """An error response in the platform's shape."""
    return answer({"error": message}, status)


def _refuse_constant(name: str) -> Any:
    message = f"{name} is not JSON"
    raise ValueError(message)
