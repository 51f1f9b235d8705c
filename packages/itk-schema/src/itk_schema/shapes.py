"""How cattrs turns the contract's classes into plain data and back, and what its errors mean."""

import math
from collections.abc import Callable
from functools import cache
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from attrs import NOTHING, Attribute, has

from .echo import short
from .errors import ErrorCode, Problem
from .job import Batch, Box, JobInput, JobRequest, Masks, Policy, SpeakerBoxes
from .kinds import fields_of, kind_of
from .output import ErrorInfo, JobFailure, JobSuccess
from .rules import rule_of, wire_name
from .speech import CondAudio, TtsAudio
from .storage import OutputConfig

if TYPE_CHECKING:
    from cattrs import Converter

_SAID_ONLY = (JobRequest, JobInput, Batch, Policy, CondAudio, TtsAudio, Masks, OutputConfig)
"""Classes whose nulls mean "not said" and are not written."""
_WRITTEN_IF_KNOWN = frozenset({"item_id", "item_index", "stdout_tail", "stderr_tail"})


class UnfitError(ValueError):
    """A value has another type than its field."""

    def __init__(self, needed: str, value: Any) -> None:
        super().__init__(needed, value)
        self.needed = needed
        self.value = value


@cache
def converter() -> "Converter":
    """Return the one converter of the contract; cattrs is imported on first use."""
    from cattrs import Converter

    made = Converter()
    for cls, hook in _STRICT.items():
        made.register_structure_hook(cls, hook)
    made.register_structure_hook(ErrorCode, _code)
    made.register_structure_hook_func(lambda cls: get_origin(cls) is dict, _free_form)
    made.register_structure_hook_factory(_is_choice, _choice)
    made.register_structure_hook_factory(_is_list, lambda cls: _list(made, cls))
    made.register_structure_hook(Box | SpeakerBoxes | None, _regions(made))
    made.register_structure_hook(JobSuccess | JobFailure, _item(made))
    made.register_structure_hook_factory(has, lambda cls: _reader(made, cls))
    made.register_unstructure_hook_factory(has, lambda cls: _writer(made, cls))
    return made


def translated(error: BaseException, *, path: str) -> tuple[Problem, ...]:
    """Say what cattrs' nested errors mean, one problem each, with its path."""
    from cattrs import ClassValidationError, IterableValidationError
    from cattrs.errors import IterableValidationNote

    if not isinstance(error, ClassValidationError | IterableValidationError):
        return (_one_problem(error, path=path),)
    found: list[Problem] = []
    placed, loose = error.group_exceptions()
    for inner, note in placed:
        indexed = isinstance(note, IterableValidationNote)
        here = f"{path}[{note.index}]" if indexed else f"{path}.{note.name}"
        found.extend(translated(inner, path=here))
    for inner in loose:
        found.extend(translated(inner, path=path))
    return tuple(found)


def _one_problem(error: BaseException, *, path: str) -> Problem:
    if isinstance(error, UnfitError):
        return Problem(path=path, needed=error.needed, came=short(error.value))
    if isinstance(error, KeyError):
        return Problem(path=path, needed="a value", came="nothing")
    return Problem(path=path, needed="another value", came=short(str(error)))


def _strict(accept: Callable[[Any], Any], needed: str) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        accepted = accept(value)
        if accepted is None:
            raise UnfitError(needed, value)
        return accepted

    return read


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**1000 and math.isfinite(value) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or not number.is_integer() else int(value)


_STRICT: dict[type[Any], Callable[[Any, Any], Any]] = {
    str: _strict(lambda value: value if isinstance(value, str) else None, "text"),
    bool: _strict(lambda value: value if isinstance(value, bool) else None, "true or false"),
    int: _strict(_whole, "a whole number"),
    float: _strict(_number, "a number"),
}


def _code(value: Any, _: Any) -> ErrorCode:
    if not isinstance(value, str) or value not in ErrorCode.__members__:
        raise UnfitError("a known code", value)
    return ErrorCode(value)


def _free_form(value: Any, _: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnfitError("an object", value)
    return value


def _is_choice(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


def _choice(annotation: Any) -> Callable[[Any, Any], Any]:
    choices = get_args(annotation)

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise UnfitError(f"one of {', '.join(choices)}", value)
        return value

    return read


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple and get_args(annotation)[-1] is Ellipsis


def _list(made: "Converter", annotation: Any) -> Callable[[Any, Any], Any]:
    """Return a function that reads a list; cattrs alone would take a text for one."""
    entry: Any = get_args(annotation)[0]
    listed: Any = GenericAlias(list, (entry,))
    inner: Any = made.get_structure_hook(listed)

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise UnfitError("a list", value)
        return tuple(inner(value, listed))

    return read


def _regions(made: "Converter") -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        if value is None:
            return None
        return made.structure(value, SpeakerBoxes if isinstance(value, dict) else Box)

    return read


def _item(made: "Converter") -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        failed = isinstance(value, dict) and ("error" in value or value.get("status") == "error")
        return made.structure(value, JobFailure if failed else JobSuccess)

    return read


def _reader(made: "Converter", cls: type[Any]) -> Callable[[Any, Any], Any]:
    """Return a function that reads an attrs class from an object, unknown fields passed over."""
    from cattrs.gen import make_dict_structure_fn, override

    overrides: dict[str, Any] = {
        attribute.name: override(
            rename=wire_name(attribute) if wire_name(attribute) != attribute.name else None,
            struct_hook=_unscaled(attribute) if rule_of(attribute).wire_scale != 1 else None,
        )
        for attribute in fields_of(cls)
    }
    inner: Any = make_dict_structure_fn(cls, made, **overrides)
    optional = {
        wire_name(attribute)
        for attribute in fields_of(cls)
        if attribute.default is not NOTHING and not _takes_null(attribute)
    }

    def read(value: Any, wanted: Any) -> Any:
        if not isinstance(value, dict):
            raise UnfitError("an object", value)
        silent = {key for key in optional if value.get(key) is None}
        known = {key: held for key, held in value.items() if key not in silent}
        return inner(_with_known_code(known) if cls is ErrorInfo else known, wanted)

    return read


def _writer(made: "Converter", cls: type[Any]) -> Callable[[Any], Any]:
    """Return a function that writes an attrs class as an object."""
    from cattrs.gen import make_dict_unstructure_fn, override

    overrides: dict[str, Any] = {}
    for attribute in fields_of(cls):
        silent = cls in _SAID_ONLY or attribute.name in _WRITTEN_IF_KNOWN
        name = wire_name(attribute)
        overrides[attribute.name] = override(
            omit_if_default=True if silent and attribute.default is None else None,
            rename=name if name != attribute.name else None,
            unstruct_hook=_scaled(attribute) if rule_of(attribute).wire_scale != 1 else None,
        )
    return make_dict_unstructure_fn(cls, made, **overrides)


def _takes_null(attribute: "Attribute[Any]") -> bool:
    return kind_of(attribute).nullable


def _unscaled(attribute: "Attribute[Any]") -> Callable[[Any, Any], Any]:
    scale = rule_of(attribute).wire_scale
    return lambda value, _: None if value is None else value / scale


def _scaled(attribute: "Attribute[Any]") -> Callable[[Any], Any]:
    scale = rule_of(attribute).wire_scale
    return lambda value: None if value is None else round(value * scale)


def _with_known_code(raw: dict[Any, Any]) -> dict[Any, Any]:
    """Give a newer worker's error a code that is known here, and keep its own as the reason."""
    code = raw.get("code")
    if not isinstance(code, str) or code in ErrorCode.__members__:
        return raw
    general = ErrorCode.E_GENERATION_RUNTIME.value
    return {"retryable": False, **raw, "code": general, "reason": raw.get("reason") or code}
