"""Takes secrets out of text before anyone reads it."""

from __future__ import annotations

import logging
import re

_QUERY = re.compile(r"(?i)\b(https?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*")
_USER = re.compile(r"(?i)\b(https?://)[^\s/@\"'<>]+@")
_KEY = re.compile(r"\b(rpa_)[A-Za-z0-9]{8,}")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]+")
_DATA = re.compile(r"(?i)\b(data:[a-z0-9.+/-]*;base64,)[A-Za-z0-9+/=_-]{16,}")


def redacted(text: object, *, secret: str | None = None) -> str:
    """The text without query strings, user names of URLs, keys and inline files."""
    plain = str(text)
    if secret:
        plain = plain.replace(secret, "***")
    plain = _USER.sub(r"\1", _QUERY.sub(r"\1?...", plain))
    plain = _BEARER.sub(r"\1***", _KEY.sub(r"\1***", plain))
    return _DATA.sub(r"\1...", plain)


class UrlFilter(logging.Filter):
    """Redacts the addresses that the HTTP library logs: a presigned query is a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, with its URLs shortened."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                redacted(part) if "://" in str(part) else part for part in record.args
            )
        return True
