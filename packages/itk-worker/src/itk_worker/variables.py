"""Says how one environment variable is read and what is told about it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_LORA = "NAME=/path/to/file.safetensors, or NAME=/path/to/file.safetensors:SCALE"


@frozen(kw_only=True)
class LoraFile:
    """One low-rank file that an operator names, and how strongly it is merged."""

    name: str
    path: Path
    scale: float = 1.0


def text(value: str) -> str:
    """Any text."""
    return value


def path(value: str) -> Path:
    """An absolute path; `~` is the home folder."""
    named = Path(value).expanduser()
    if not named.is_absolute():
        message = f"an absolute path, got {value!r}"
        raise ValueError(message)
    return named


def paths(value: str) -> tuple[Path, ...]:
    """Absolute paths, separated as in PATH."""
    return tuple(path(part) for part in value.split(os.pathsep) if part)


def seconds(value: str) -> float:
    """A positive number of seconds."""
    try:
        duration = float(value)
    except ValueError:
        duration = -1.0
    if not 0 < duration < 10**7:
        message = f"a positive number of seconds, got {value!r}"
        raise ValueError(message)
    return duration


def count(value: str) -> int:
    """A whole number."""
    if not value.isascii() or not value.isdecimal() or len(value) > 15:
        message = f"a whole number, got {value!r}"
        raise ValueError(message)
    return int(value)


def switch(value: str) -> bool:
    """True or false, in the usual words."""
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in known:
        message = f"true or false, got {value!r}"
        raise ValueError(message)
    return known[value.lower()]


def url(value: str) -> str:
    """A web address."""
    if not value.startswith(("http://", "https://")):
        message = f"a URL that begins with http:// or https://, got {value!r}"
        raise ValueError(message)
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words, whatever its case."""

    def parse(value: str) -> str:
        for word in words:
            if value.lower() == word.lower():
                return word
        message = f"one of {', '.join(words)}, got {value!r}"
        raise ValueError(message)

    return parse


def positive(value: str) -> float:
    """A positive number."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < 10**6:
        message = f"a positive number, got {value!r}"
        raise ValueError(message)
    return number


def loras(value: str) -> tuple[LoraFile, ...]:
    """Low-rank files, separated by commas, each with its name and perhaps its scale."""
    found = tuple(_lora(part.strip()) for part in value.split(",") if part.strip())
    names = [lora.name for lora in found]
    if len(set(names)) < len(names):
        message = f"names that differ, got {', '.join(names)}"
        raise ValueError(message)
    return found


def _lora(value: str) -> LoraFile:
    name, _, rest = value.partition("=")
    file, _, scale = rest.rpartition(":")
    if not _is_number(scale):
        file, scale = rest, "1"
    if not re.fullmatch(_NAME, name) or not file:
        message = f"{_LORA}; got {value!r}"
        raise ValueError(message)
    return LoraFile(name=name, path=path(file), scale=float(scale))


def _is_number(value: str) -> bool:
    try:
        return -100 < float(value) < 100
    except ValueError:
        return False


def variable(
    *names: str,
    parse: Callable[[str], Any],
    group: str,
    words: str,
    default: Any = None,
    secret: bool = False,
) -> Any:
    """One environment variable: its names (the first one wins), meaning and default."""
    return field(
        default=default,
        repr=not secret,
        metadata={"names": names, "parse": parse, "group": group, "help": words, "secret": secret},
    )
