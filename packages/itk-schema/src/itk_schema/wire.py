"""JSON in and out: the only module that knows it."""

import json
from collections import Counter
from typing import Any, TypeVar

from .agreement import AGREEMENTS, OTHER_NAMES
from .checks import BAD, Report, check_object, check_value
from .echo import short
from .errors import ErrorCode, InvalidJobError, Problem
from .job import Batch, JobInput, JobRequest, Policy
from .kinds import fields_of, kind_of
from .limits import MAX_JSON_BYTES
from .output import BatchOutput, ErrorInfo, JobFailure, JobSuccess
from .progress import Progress
from .rules import rule_of
from .shapes import converter, translated

T = TypeVar("T")
MAX_DEPTH = 100
"""Levels of nesting in JSON; a job has 5, and free-form parts of a result a few more."""
_MAX_MESSAGE_CHARACTERS = 2000


def parse_input(raw: Any) -> JobInput | Batch:
    """Read the `input` of a job; InvalidJobError names every problem at once."""
    report = _report()
    good, cls = _check_input(raw, report=report)
    report.finish()
    return _built(good, cls, path="input")


def parse_request(raw: Any) -> JobRequest:
    """Read a whole request, `input` with its policy and webhook; InvalidJobError as above."""
    report = _report()
    if not isinstance(raw, dict):
        report.add("request", needed="an object with input", came=short(raw))
        report.finish()
    if "input" not in raw:
        report.add("input", needed="an object", came="nothing", hint="the job goes under input")
    good, cls = _check_input(raw.get("input", {}), report=report)
    outer = _check_outer({key: value for key, value in raw.items() if key != "input"}, report)
    report.finish()
    policy = outer.get("policy")
    return JobRequest(
        input=_built(good, cls, path="input"),
        policy=None if policy is None else _built(policy, Policy, path="policy"),
        webhook=outer.get("webhook"),
    )


def parse_output(raw: Any) -> JobSuccess | JobFailure | BatchOutput:
    """Read a result; fields of a newer worker are passed over, InvalidJobError for nonsense."""
    if not isinstance(raw, dict):
        raise InvalidJobError((Problem(path="output", needed="an object", came=short(raw)),))
    if "items" in raw:
        return _built(raw, BatchOutput, path="output")
    if raw.get("status") == "error" or "error" in raw:
        return _built(raw, JobFailure, path="output")
    return _built(raw, JobSuccess, path="output")


def parse_failure(text: Any, *, job_id: str = "") -> JobFailure:
    """Read the `error` of a failed job, whoever wrote it: our worker, Runpod's SDK, the platform.

    Never raises: what is not understood becomes the message of an E_GENERATION_RUNTIME.
    """
    raw = _loosely(text)
    if isinstance(raw, dict) and isinstance(raw.get("error"), dict):
        try:
            return _built({"job_id": job_id, **raw}, JobFailure, path="output")
        except InvalidJobError:
            pass
    if isinstance(raw, dict) and "error_message" in raw:
        message, cause = str(raw["error_message"]), str(raw.get("error_type", ""))
        error = ErrorInfo(
            code=ErrorCode.E_GENERATION_RUNTIME,
            message=message[:_MAX_MESSAGE_CHARACTERS] or "the worker failed",
            reason="uncaught",
            cause_class=cause[:200],
        )
        return JobFailure(job_id=job_id, error=error)
    message = text if isinstance(text, str) and text.strip() else "the job failed without a reason"
    code = _platform_code(message)
    error = ErrorInfo(code=code, message=message[:_MAX_MESSAGE_CHARACTERS], reason="platform")
    return JobFailure(job_id=job_id, error=error)


def parse_progress(raw: Any) -> Progress | None:
    """Read a progress message; None for anything else, since a result stands in the same place."""
    if not isinstance(raw, dict) or raw.get("type") != "progress":
        return None
    try:
        return _built(raw, Progress, path="progress")
    except InvalidJobError:
        return None


def parse_json(text: str | bytes | bytearray) -> Any:
    """Read JSON text strictly: UTF-8, no NaN, no number that overflows, no field given twice.

    InvalidJobError says what was needed; deep nesting and huge texts are refused as well.
    """
    if not isinstance(text, (str, bytes, bytearray)):
        raise _not_json("JSON text", short(text))
    if len(text) > MAX_JSON_BYTES:
        raise _not_json(f"at most {MAX_JSON_BYTES} bytes", f"{len(text)}")
    try:
        decoded = text if isinstance(text, str) else bytes(text).decode("utf-8-sig")
        value = json.loads(
            decoded,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_twins,
        )
    except UnicodeDecodeError as error:
        raise _not_json("UTF-8", f"byte {error.start} of something else") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _not_json("JSON", f"{error.msg.lower()} at {where}") from None
    except RecursionError:
        raise _not_json(f"JSON of at most {MAX_DEPTH} levels", "deep nesting") from None
    if _too_deep(value):
        raise _not_json(f"JSON of at most {MAX_DEPTH} levels", "deep nesting")
    return value


def dump(value: Any) -> Any:
    """Return a value of the contract as plain JSON-able dicts, lists and texts.

    Fields of a job that were not said are left out; milliseconds stand where the wire wants them.
    """
    return _listed(converter().unstructure(value))


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value of the contract, or plain data, as JSON text; ValueError for NaN."""
    plain = dump(value)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only escaped does it travel
        return json.dumps(plain, allow_nan=False, indent=indent)
    return text


def failure_output(failure: JobFailure) -> dict[str, str]:
    """Return what a worker gives back for a failure: one JSON text under `error`, nothing else.

    Runpod's SDK mangles objects there and drops falsy ones.
    """
    return {"error": to_json(failure)}


def check(value: JobInput | Batch) -> None:
    """Raise InvalidJobError unless a job made in Python would be accepted by a worker."""
    parse_input(dump(value))


def _report() -> Report:
    return Report(agreements=AGREEMENTS, other_names=OTHER_NAMES)


def _check_input(raw: Any, *, report: Report) -> tuple[Any, type[Any]]:
    cls: type[Any] = Batch if isinstance(raw, dict) and "batch" in raw else JobInput
    return check_object(raw, cls, path="input", report=report), cls


def _check_outer(raw: dict[Any, Any], report: Report) -> dict[str, Any]:
    """Check what stands beside `input` and return what is good of it."""
    known = {field.name: field for field in fields_of(JobRequest) if field.name != "input"}
    good: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in known:
            report.add_unknown(name, value, known=("input", *known), path="request")
        elif value is not None:
            kind, rule = kind_of(known[name]), rule_of(known[name])
            checked = check_value(value, kind, rule=rule, path=name, report=report)
            if checked is not BAD:
                good[name] = checked
    return good


def _built(raw: Any, cls: type[T], *, path: str) -> T:
    try:
        return converter().structure(raw, cls)
    except Exception as error:  # noqa: BLE001  cattrs wraps whatever a field raised
        problems = translated(error, path=path)
    raise InvalidJobError(problems)


def _listed(plain: Any) -> Any:
    """Turn tuples into the lists that JSON has."""
    if isinstance(plain, dict):
        return {name: _listed(value) for name, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [_listed(value) for value in plain]
    return plain


def _loosely(text: Any) -> Any:
    if isinstance(text, dict):
        return text
    try:
        return parse_json(text)
    except (InvalidJobError, TypeError):
        return None


def _platform_code(message: str) -> ErrorCode:
    lowered = message.lower()
    if "timed out" in lowered or "timeout" in lowered:
        return ErrorCode.E_TIMEOUT
    return ErrorCode.E_GENERATION_RUNTIME


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _not_json(needed: str, came: str) -> InvalidJobError:
    return InvalidJobError((Problem(path="request", needed=needed, came=came),))


def _no_constant(name: str) -> Any:
    raise _not_json("JSON numbers", name)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _not_json("numbers below 1.8e308", short(digits))
    return value


def _whole(digits: str) -> int:
    if len(digits) > 400:
        raise _not_json("numbers below 1.8e308", f"one of {len(digits)} digits")
    return int(digits)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twin, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _not_json("every field once", f"{short(twin)} twice")
    return found
