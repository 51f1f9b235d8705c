"""What one field accepts, kept beside the field itself."""

import re
from typing import Any, Literal, TypeAlias

from attrs import Attribute, frozen

Group: TypeAlias = Literal[
    "request",
    "people",
    "picture",
    "length",
    "sampling",
    "guidance",
    "speed",
    "memory",
    "weights",
    "storage",
]
ParameterKind: TypeAlias = Literal["picture", "speech", "memory", "weights", "output"]
"""What a parameter changes: what is seen, what is heard by the model, where things live on the
GPU, which weights are used, or what is written around the picture."""

# These expressions run in Python and, inside the JSON Schema, anywhere: `(?![\s\S])` is the end of
# the text in every dialect, while `$` also matches before a last newline in Python.
END = r"(?![\s\S])"
SOME_TEXT = r"^(?=[\s\S]*\S)(?![\s\S]*\u0000)"
ANY_TEXT = r"^(?![\s\S]*\u0000)"
NAME = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}{END}"
URL = rf"^[hH][tT][tT][pP][sS]?://[^\s/?#@\\\u0000-\u001f]+(?:[/?#][^\s\u0000-\u001f]*)?{END}"
MEDIA = (
    r"^(?:[dD][aA][tT][aA]:[^,]*,[\s\S]"
    rf"|[hH][tT][tT][pP][sS]?://[^\s/?#@\\\u0000-\u001f]+(?:[/?#][^\s\u0000-\u001f]*)?{END}"
    rf"|/[^\u0000-\u001f]+{END}"
    rf"|[A-Za-z0-9+/_-]+(?:\s+[A-Za-z0-9+/_-]+)*={{0,2}}\s*{END})"
)


@frozen(kw_only=True)
class Rule:
    """What one field accepts, in numbers and in words for people."""

    help: str
    """One sentence for a person who fills in a form."""
    group: Group = "request"
    kind: ParameterKind | None = None
    """What a generation parameter changes; None for fields that are no parameter."""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    remainder: int = 0
    """With multiple_of: accepted values leave this when divided by it."""
    pattern: str | None = None
    words: str = ""
    """What the pattern asks for, in words."""
    max_length: int | None = None
    """Characters of a text, entries of a list."""
    min_length: int | None = None
    each: "Rule | None" = None
    """What every entry of a list accepts."""
    distinct: bool = False
    """The entries of a list differ from each other."""
    needs: tuple[str, object] | None = None
    """Another parameter and the value of it without which this one has no effect."""
    wire_name: str | None = None
    wire_scale: int = 1
    """The wire carries the value times this (1000: milliseconds for seconds)."""
    secret: bool = False
    """The value is a key of some kind, such as a signed URL: never echoed."""


def rule(**facts: Any) -> dict[str, Rule]:
    """Return attrs metadata that holds a Rule with these facts."""
    return {"rule": Rule(**facts)}


def rule_of(field: "Attribute[Any]") -> Rule:
    """Return the rule of an attrs field; a field without one accepts what its type does."""
    found = field.metadata.get("rule")
    return found if isinstance(found, Rule) else NO_RULE


def wire_name(field: "Attribute[Any]") -> str:
    """Return the name of an attrs field in JSON."""
    return rule_of(field).wire_name or field.name


def matches(pattern: str, text: str) -> bool:
    """Tell whether a text has the form that a pattern asks for."""
    return re.search(pattern, text) is not None


NO_RULE = Rule(help="")
