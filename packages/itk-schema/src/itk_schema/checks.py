"""Holds a value against the contract's types and rules, collecting every problem."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from .echo import short, shown_name
from .errors import InvalidJobError, Problem
from .kinds import Kind, fields_of, kind_of
from .rules import MEDIA, NO_RULE, Rule, matches, rule_of, wire_name

MAX_PROBLEMS = 200
"""Where collecting stops, so that a hostile job costs little."""
BAD: Final[Any] = object()
"""Stands for a value with a problem, once the problem is noted."""
_MAX_LIST = 1000


@frozen
class Checked:
    """What is known of an object after its fields were checked one by one."""

    good: dict[str, Any]
    """Values without a problem, by wire name."""
    said: dict[str, Any]
    """Everything that was given under a known name and is not null, good or not."""
    path: str
    report: "Report"


Agreement: TypeAlias = Callable[[Checked], None]


@define
class Report:
    """The problems found so far."""

    agreements: Mapping[type[Any], Agreement] = field(factory=dict)
    """What the fields of a class must agree on, noted after each was checked alone."""
    other_names: Mapping[str, str] = field(factory=dict)
    """Names that people expect, and what the contract calls them."""
    problems: list[Problem] = field(factory=list)

    @property
    def full(self) -> bool:
        """Whether looking further is not worth it."""
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, path: str, *, needed: str, came: str, hint: str = "") -> Any:
        """Note a problem and return BAD."""
        if not self.full:
            self.problems.append(Problem(path=path, needed=needed, came=came, hint=hint))
        return BAD

    def add_unknown(self, name: Any, value: Any, *, known: tuple[str, ...], path: str) -> None:
        """Note a field that the contract does not know, with the nearest that it does."""
        if not isinstance(name, str):
            self.add(path, needed="field names that are text", came=short(name))
            return
        other = self.other_names.get(name, "")
        guess = other if other in known else nearest(name, known)
        self.add(
            f"{path}.{shown_name(name)}",
            needed="to be absent, for there is no such field",
            came=short(value, secret=True),
            hint=f"did you mean {guess}?" if guess else f"known: {', '.join(known)}",
        )

    def finish(self) -> None:
        """Raise InvalidJobError if anything was noted."""
        if self.problems:
            raise InvalidJobError(tuple(self.problems))


def born_valid(value: Any) -> None:
    """Raise InvalidJobError if a field of a new attrs value breaks its own rule."""
    report = Report()
    for attribute in fields_of(type(value)):
        held = getattr(value, attribute.name)
        kind, rule = kind_of(attribute), rule_of(attribute)
        if held is not None or not kind.nullable:
            check_value(held, kind, rule=rule, path=attribute.name, report=report, wire=False)
    report.finish()


def check_object(raw: Any, cls: type[Any], *, path: str, report: Report) -> dict[str, Any] | Any:
    """Check a JSON object against an attrs class and return what is good of it, by wire name.

    Unknown and missing fields, and fields with a problem, are noted and left out. A null stands
    for a field that was not said. BAD when it is no object at all.
    """
    if not isinstance(raw, dict):
        return report.add(path, needed="an object", came=short(raw))
    known = {wire_name(attribute): attribute for attribute in fields_of(cls)}
    _check_names(raw, known, path=path, report=report)
    good: dict[str, Any] = {}
    for name, attribute in known.items():
        kind, rule = kind_of(attribute), rule_of(attribute)
        here = f"{path}.{name}"
        value = raw.get(name)
        if value is None and kind.nullable:
            continue
        if name not in raw:
            report.add(here, needed=needed_words(kind, rule), came="nothing", hint=rule.help)
            continue
        checked = check_value(value, kind, rule=rule, path=here, report=report)
        if checked is not BAD:
            good[name] = checked
    if (agree := report.agreements.get(cls)) is not None and not report.full:
        said = {name: raw[name] for name in known if raw.get(name) is not None}
        agree(Checked(good, said=said, path=path, report=report))
    return good


def check_value(
    value: Any, kind: Kind, *, rule: Rule, path: str, report: Report, wire: bool = True
) -> Any:
    """Return a value in the form that the contract wants it, or note its problem and return BAD.

    `wire` tells whether it came as JSON (objects, whole numbers such as 8.0) or from Python.
    """
    if kind.name == "list":
        return _check_list(value, kind, rule=rule, path=path, report=report, wire=wire)
    if kind.name == "either":
        return _check_either(value, kind, rule=rule, path=path, report=report, wire=wire)
    if kind.name == "object":
        return _check_nested(value, kind, path=path, report=report, wire=wire)
    checked = _plain(value, kind, rule=rule, wire=wire)
    if checked is BAD:
        came = short(value, secret=rule.secret)
        hint = _hint(value, kind, rule)
        return report.add(path, needed=needed_words(kind, rule, wire=wire), came=came, hint=hint)
    return checked


def needed_words(kind: Kind, rule: Rule, *, wire: bool = True) -> str:
    """Say what a field accepts."""
    if kind.name == "choice":
        return f"one of {', '.join(kind.choices)}"
    if kind.name in ("integer", "number"):
        return _number_words(kind, rule, wire=wire)
    names = {"boolean": "true or false", "object": "an object", "text": "text", "list": "a list"}
    return rule.words or names.get(kind.name, "a value")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that a misspelt one probably means, or an empty text."""
    if len(name) > 64:
        return ""
    lowered = {candidate.lower(): candidate for candidate in known}
    folded = name.lower().replace("-", "_").replace(" ", "_")
    found = difflib.get_close_matches(folded, lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def _check_names(raw: dict[Any, Any], known: dict[str, Any], *, path: str, report: Report) -> None:
    for name, value in raw.items():
        if report.full:
            return
        if name not in known:
            report.add_unknown(name, value, known=tuple(known), path=path)


def _check_list(
    value: Any, kind: Kind, *, rule: Rule, path: str, report: Report, wire: bool
) -> Any:
    needed = needed_words(kind, rule, wire=wire)
    if not isinstance(value, (list, tuple)) or (not wire and isinstance(value, list)):
        return report.add(path, needed=needed, came=short(value))
    most = len(kind.items) if kind.fixed else (rule.max_length or _MAX_LIST)
    least = len(kind.items) if kind.fixed else (rule.min_length or 0)
    if not least <= len(value) <= most:
        return report.add(path, needed=needed, came=f"{len(value)} entries")
    checked = []
    for index, entry in enumerate(value):
        item = kind.items[index] if kind.fixed else kind.items[0]
        here = f"{path}[{index}]"
        checked.append(
            check_value(entry, item, rule=rule.each or NO_RULE, path=here, report=report, wire=wire)
        )
        if report.full:
            break
    if any(entry is BAD for entry in checked):
        return BAD
    if rule.distinct and len(set(checked)) != len(checked):
        return report.add(path, needed=needed, came=short(value))
    return checked


def _check_either(
    value: Any, kind: Kind, *, rule: Rule, path: str, report: Report, wire: bool
) -> Any:
    for option in kind.items:
        fits = dict if wire else (option.cls or tuple)
        if option.name == "object" and isinstance(value, fits):
            return _check_nested(value, option, path=path, report=report, wire=wire)
        if option.name != "object" and isinstance(value, (list, tuple)):
            return check_value(value, option, rule=rule, path=path, report=report, wire=wire)
    return report.add(path, needed=needed_words(kind, rule, wire=wire), came=short(value))


def _check_nested(value: Any, kind: Kind, *, path: str, report: Report, wire: bool) -> Any:
    assert kind.cls is not None  # noqa: S101  describe() gave every object its class
    if wire:
        before = len(report.problems)
        good = check_object(value, kind.cls, path=path, report=report)
        return good if len(report.problems) == before else BAD
    if not isinstance(value, kind.cls):
        return report.add(path, needed=f"a {kind.cls.__name__}", came=short(value))
    return value


def _plain(value: Any, kind: Kind, *, rule: Rule, wire: bool) -> Any:
    if kind.name == "boolean":
        return value if isinstance(value, bool) else BAD
    if kind.name == "choice":
        return value if isinstance(value, str) and value in kind.choices else BAD
    if kind.name == "text":
        return value if isinstance(value, str) and _text_is_good(value, rule, wire=wire) else BAD
    return _number(value, kind, rule=rule, wire=wire)


def _text_is_good(value: str, rule: Rule, *, wire: bool) -> bool:
    if rule.max_length is not None and len(value) > rule.max_length:
        return False
    if rule.min_length is not None and len(value) < rule.min_length:
        return False
    if not value.isascii() and re.search("[\ud800-\udfff]", value):
        return False
    # A job in Python may still name a local file, which the client replaces before it is sent.
    unchecked = rule.pattern is None or (rule.pattern == MEDIA and not wire)
    return unchecked or matches(rule.pattern or "", value)


def _number(value: Any, kind: Kind, *, rule: Rule, wire: bool) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        return BAD
    low, high = bounds(rule, wire=wire)
    if (low is not None and value < low) or (high is not None and value > high):
        return BAD
    if kind.name == "number" and not (wire and rule.wire_scale != 1):
        return float(value) if wire else value
    return _whole(value, rule=rule, wire=wire)


def _whole(value: float, *, rule: Rule, wire: bool) -> Any:
    if isinstance(value, float) and not (wire and value.is_integer()):
        return BAD
    if rule.multiple_of and int(value) % rule.multiple_of != rule.remainder:
        return BAD
    return int(value)


def bounds(rule: Rule, *, wire: bool = True) -> tuple[float | None, float | None]:
    """Return the least and the greatest accepted number, in the wire's unit or in Python's."""
    scale = rule.wire_scale if wire else 1
    low = None if rule.minimum is None else rule.minimum * scale
    high = None if rule.maximum is None else rule.maximum * scale
    return low, high


def _number_words(kind: Kind, rule: Rule, *, wire: bool) -> str:
    whole = kind.name == "integer" or (wire and rule.wire_scale != 1)
    noun = "a whole number" if whole else "a number"
    low, high = bounds(rule, wire=wire)
    if rule.multiple_of:
        noun += f" of the form {rule.multiple_of}n+{rule.remainder}"
    if wire and rule.wire_scale == 1000:
        noun += " of milliseconds"
    if low is not None and low == high:
        return f"{low:.15g}"
    if low is not None and high is not None:
        return f"{noun} from {low:.15g} to {high:.15g}"
    if low is not None:
        return f"{noun} of at least {low:.15g}"
    return noun if high is None else f"{noun} of at most {high:.15g}"


def _hint(value: Any, kind: Kind, rule: Rule) -> str:
    if kind.name == "choice" and isinstance(value, str):
        guess = nearest(value, kind.choices)
        return f"did you mean {guess}?" if guess else ""
    if kind.name == "text" and isinstance(value, str):
        return _text_hint(value, rule)
    if kind.name in ("integer", "number"):
        return _number_hint(value, rule)
    return ""


def _text_hint(value: str, rule: Rule) -> str:
    if rule.max_length is not None and len(value) > rule.max_length:
        return f"at most {rule.max_length} characters, got {len(value)}"
    if rule.pattern != MEDIA:
        return ""
    if re.match(r"[hH][tT][tT][pP][sS]?:", value):
        return "a URL has a host, no user name, no blanks and no control characters"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:", value):
        return "only data:, http: and https: are understood"
    return "a file on your own machine must be sent along or uploaded first"


def _number_hint(value: Any, rule: Rule) -> str:
    if isinstance(value, str) and len(value) < 32 and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return f"write it without quotes: {value}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not _in_reach(value):
        return ""
    low, high = bounds(rule)
    if rule.wire_scale == 1000 and low is not None and high is not None:
        meant = value * 1000
        return f"did you mean {meant:.15g}?" if value < low <= meant <= high else ""
    if rule.multiple_of:
        near = round((value - rule.remainder) / rule.multiple_of) * rule.multiple_of
        near = int(max(rule.minimum or 0, min(rule.maximum or near, near + rule.remainder)))
        return f"the nearest is {near}"
    return ""


def _finite(value: float) -> bool:
    return -(2**1000) < value < 2**1000  # also false for NaN; huge whole numbers never overflow


def _in_reach(value: float) -> bool:
    return -1e15 < value < 1e15
