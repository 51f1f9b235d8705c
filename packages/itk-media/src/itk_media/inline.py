"""Reads media that travels inside the request: data: URIs and base64 text."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from .errors import InvalidSourceError, TooLargeError
from .sniff import HEAD_BYTES, sniff

_ALPHABET = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}", re.ASCII)
_DATA_HEAD_CHARACTERS = 512


def decode_data_uri(text: str, max_bytes: int) -> bytes:
    """Return the bytes of a ``data:`` URI; its media type is ignored, the bytes are sniffed."""
    comma = text.find(",", 0, _DATA_HEAD_CHARACTERS)
    if comma < 0:
        raise InvalidSourceError("a data: URI needs a comma before its content", "bad_data_uri")
    head, body = text[5:comma], text[comma + 1 :]
    if head.lower().endswith(";base64"):
        return decode_base64(body, max_bytes)
    _check_size(len(body) // 3, max_bytes)
    content = unquote_to_bytes(body)
    _check_size(len(content), max_bytes)
    return content


def decode_base64(text: str, max_bytes: int) -> bytes:
    """Return the bytes of strict base64; the size is checked before anything is decoded."""
    _check_size(len(text) * 3 // 4 - 2, max_bytes)
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"the base64 text is not valid: {error}"
        raise InvalidSourceError(message, "bad_base64") from error
    _check_size(len(content), max_bytes)
    return content


def is_media_base64(text: str) -> bool:
    """Say whether a text's beginning is base64 of a known media type.

    A JPEG's base64 begins with ``/9j/`` and could be taken for a path, so this is asked first.
    """
    head = text[: HEAD_BYTES // 3 * 4]
    if not _ALPHABET.match(head[:64]):
        return False
    head = head[: len(head) // 4 * 4]
    try:
        return sniff(base64.b64decode(head, validate=True)) is not None
    except (binascii.Error, ValueError):
        return False


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        message = f"the inline file has more than the {max_bytes} bytes allowed"
        raise TooLargeError(message)
