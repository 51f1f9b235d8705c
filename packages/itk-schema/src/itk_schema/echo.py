"""Shows what a caller sent, short enough for a message and without secrets."""

import re
from collections.abc import Sized
from typing import Any

MAX_SHOWN_CHARACTERS = 80
_MAX_NAME_CHARACTERS = 64


def short(value: Any, *, secret: bool = False) -> str:
    """Return at most about 80 characters that tell a person what a value is.

    Files and texts with a secret in them are described, not repeated; it never raises, whatever
    the value is.
    """
    if isinstance(value, str):
        return _short_text(value, secret=secret)
    if value is None or isinstance(value, int | float):
        return _short_number(value)
    if isinstance(value, dict):
        return f"an object with {_count(value, 'field')}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if secret else _cut(_list(value))
    return f"a {type(value).__name__}"


def shown_name(name: str) -> str:
    """Return a field's name as a path may show it: printable and not long."""
    printable = name if name.isprintable() and name.isascii() else repr(name)[1:-1]
    return _cut(printable, most=_MAX_NAME_CHARACTERS)


def _short_text(value: str, *, secret: bool) -> str:
    if value[:5].lower() == "data:":
        return f"a data: URI of {_count(value, 'character')}"
    if secret or len(value) > 4096:
        return f"text of {_count(value, 'character')}"
    return _cut(repr(_without_secrets(value))) if value else "an empty text"


def _without_secrets(text: str) -> str:
    """Leave out what often is a secret in a URL: the user's name and password, and the query."""
    if "://" not in text:
        return text
    bare, mark, _ = text.partition("?")
    return re.sub(r"//[^/]*@", "//...@", bare) + (mark and "?...")


def _short_number(value: float | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if not abs(value) >= 10**40 else "a number of over 40 digits"


def _list(value: "list[Any] | tuple[Any, ...]") -> str:
    if len(value) > 8 or any(isinstance(entry, (dict, list, tuple)) for entry in value):
        return f"a list of {len(value)}"
    return f"[{', '.join(short(entry) for entry in value)}]"


def _count(value: Sized, noun: str) -> str:
    return f"{len(value)} {noun}" + ("" if len(value) == 1 else "s")


def _cut(text: str, *, most: int = MAX_SHOWN_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
