"""The contract as a JSON Schema (draft 2020-12), made from the same classes as the parser."""

from collections.abc import Callable
from typing import Any

from attrs import NOTHING, Attribute

from .catalog import BY_NAME
from .checks import bounds
from .job import JobInput, JobRequest
from .kinds import Kind, describe, fields_of, kind_of
from .output import BatchOutput, JobFailure, JobSuccess
from .progress import Progress
from .rules import NO_RULE, Rule, rule_of, wire_name

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a request; the parser accepts nothing that it refuses."""
    named: dict[str, Any] = {}
    body = _object(JobRequest, named=named, strict=True)
    return _whole("A job of InfiniteTalk on Runpod Serverless", body, named=named)


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema of what stands in a job's output: a result, or progress before it.

    A failed job's output is the text under `error`, read as JSON. Fields of a newer worker are
    allowed for.
    """
    named: dict[str, Any] = {}
    kinds = [describe(cls) for cls in (JobSuccess, JobFailure, BatchOutput, Progress)]
    body = {"anyOf": [_reference(kind, named=named, strict=False) for kind in kinds]}
    return _whole("What a worker of InfiniteTalk on Runpod Serverless answers", body, named=named)


def _whole(title: str, body: dict[str, Any], *, named: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": title, **body, "$defs": dict(sorted(named.items()))}


def _object(cls: type[Any], *, named: dict[str, Any], strict: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "description": (cls.__doc__ or "").split("\n")[0]}
    schema["properties"] = {
        wire_name(attribute): _field(attribute, named=named, strict=strict)
        for attribute in fields_of(cls)
    }
    required = [
        wire_name(attribute) for attribute in fields_of(cls) if attribute.default is NOTHING
    ]
    if required:
        schema["required"] = required
    if strict:
        schema["additionalProperties"] = False
    if cls is JobInput:
        schema["oneOf"] = [_speech("cond_audio"), _speech("tts_audio")]
    return schema


def _field(attribute: "Attribute[Any]", *, named: dict[str, Any], strict: bool) -> dict[str, Any]:
    rule, kind = rule_of(attribute), kind_of(attribute)
    facts = _kind(kind, rule, named=named, strict=strict)
    schema = {"anyOf": [facts, {"type": "null"}]} if kind.nullable else facts
    if rule.help:
        schema = {"description": rule.help, **schema}
    parameter = BY_NAME.get(attribute.name)
    if parameter is not None and rule is parameter.rule and parameter.default is not None:
        default = parameter.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema


def _kind(kind: Kind, rule: Rule, *, named: dict[str, Any], strict: bool) -> dict[str, Any]:
    if kind.name == "object":
        return _reference(kind, named=named, strict=strict)
    if kind.name == "either":
        options = [_kind(option, rule, named=named, strict=strict) for option in kind.items]
        return {"anyOf": options}
    if kind.name == "list":
        return _list(kind, rule, named=named, strict=strict)
    if kind.name in ("integer", "number"):
        return _number(kind, rule)
    return _text(rule) if kind.name == "text" else _SIMPLE[kind.name](kind)


_SIMPLE: dict[str, Callable[[Kind], dict[str, Any]]] = {
    "choice": lambda kind: {"enum": list(kind.choices)},
    "boolean": lambda _: {"type": "boolean"},
    "free": lambda _: {"type": "object"},
    "any": lambda _: {},
}


def _reference(kind: Kind, *, named: dict[str, Any], strict: bool) -> dict[str, Any]:
    assert kind.cls is not None  # noqa: S101  describe() gave every object its class
    name = kind.cls.__name__
    if name not in named:
        named[name] = {}
        named[name] = _object(kind.cls, named=named, strict=strict)
    return {"$ref": f"#/$defs/{name}"}


def _list(kind: Kind, rule: Rule, *, named: dict[str, Any], strict: bool) -> dict[str, Any]:
    each = rule.each or NO_RULE
    schema: dict[str, Any] = {"type": "array"}
    items = [_kind(item, each, named=named, strict=strict) for item in kind.items]
    if kind.fixed:
        schema["prefixItems"] = items
        schema["items"] = False
        schema["minItems"] = len(items)
    else:
        (schema["items"],) = items
        if rule.min_length is not None:
            schema["minItems"] = rule.min_length
        if rule.max_length is not None:
            schema["maxItems"] = rule.max_length
    if rule.distinct:
        schema["uniqueItems"] = True
    return schema


def _text(rule: Rule) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if rule.pattern is not None:
        schema["pattern"] = rule.pattern
    if rule.max_length is not None:
        schema["maxLength"] = rule.max_length
    return schema


def _number(kind: Kind, rule: Rule) -> dict[str, Any]:
    whole = kind.name == "integer" or rule.wire_scale != 1
    schema: dict[str, Any] = {"type": "integer" if whole else "number"}
    low, high = bounds(rule)
    low, high = (
        (int(low) if whole and low is not None else low),
        (int(high) if whole and high is not None else high),
    )
    if rule.multiple_of and low is not None and high is not None:
        first, last, step = int(low), int(high), rule.multiple_of
        schema["enum"] = [n for n in range(first, last + 1) if n % step == rule.remainder]
        return schema
    if low is not None:
        schema["minimum"] = low
    if high is not None:
        schema["maximum"] = high
    return schema


def _speech(name: str) -> dict[str, Any]:
    """Return the half of "exactly one of cond_audio and tts_audio" that takes this one."""
    return {"required": [name], "properties": {name: {"type": "object"}}}
