"""Turns whatever went wrong into one coded error; the only place that catches everything."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from itk_schema import ErrorCode, ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from .logs import JobLog
    from .redaction import Redactor

T = TypeVar("T")


@frozen
class Meaning:
    """What one class of exceptions means to a caller."""

    code: ErrorCode
    reason: str | None = None  # None: the exception's own `reason`
    retryable: bool | None = None  # None: the exception's own, else the code's


# By package and class name, so that an error can be explained without loading its package.
MEANINGS: dict[str, Meaning] = {
    "itk_schema.InvalidJobError": Meaning(ErrorCode.E_INPUT_VALIDATION, "invalid_field"),
    "itk_worker.NotAvailableError": Meaning(ErrorCode.E_INPUT_VALIDATION, "not_available"),
    "itk_worker.NotOfferedError": Meaning(ErrorCode.E_INPUT_VALIDATION, "not_available"),
    "itk_worker.UnusableInputError": Meaning(ErrorCode.E_INPUT_VALIDATION),
    "itk_worker.StorageError": Meaning(ErrorCode.E_UPLOAD),
    "itk_worker.TooSlowError": Meaning(ErrorCode.E_TIMEOUT, "estimate"),
    "itk_worker.WeightsError": Meaning(ErrorCode.E_PIPELINE_LOAD, "missing_weights"),
    "itk_worker.NotReadyError": Meaning(ErrorCode.E_PIPELINE_LOAD, "not_ready"),
    "itk_media.DownloadError": Meaning(ErrorCode.E_DOWNLOAD_FAILED),
    "itk_media.EncodeError": Meaning(ErrorCode.E_FFMPEG),
    "itk_media.MediaError": Meaning(ErrorCode.E_INPUT_VALIDATION),
    "itk_engine.MissingWeightsError": Meaning(ErrorCode.E_PIPELINE_LOAD, "missing_weights"),
    "itk_engine.MissingSynthesiserError": Meaning(ErrorCode.E_PIPELINE_LOAD, "missing_synthesiser"),
    "itk_engine.WeightsMismatchError": Meaning(ErrorCode.E_PIPELINE_LOAD, "weights_mismatch"),
    "itk_engine.WeightsUnreadableError": Meaning(ErrorCode.E_PIPELINE_LOAD, "weights_unreadable"),
    "itk_engine.LostFollowerError": Meaning(ErrorCode.E_PIPELINE_LOAD, "lost_process"),
    "itk_engine.SpeechTooShortError": Meaning(ErrorCode.E_INPUT_VALIDATION, "too_short"),
    "itk_engine.InvalidRequestError": Meaning(ErrorCode.E_INPUT_VALIDATION, "invalid_field"),
    "itk_engine.UnsupportedFeatureError": Meaning(ErrorCode.E_INPUT_VALIDATION, "not_available"),
    "itk_engine.OutOfMemoryError": Meaning(ErrorCode.E_OOM, "out_of_memory"),
    "itk_engine.NotFiniteError": Meaning(ErrorCode.E_GENERATION_RUNTIME, "not_finite"),
    "torch.OutOfMemoryError": Meaning(ErrorCode.E_OOM, "out_of_memory"),
    "torch.AcceleratorError": Meaning(
        ErrorCode.E_GENERATION_RUNTIME, "device_error", retryable=True
    ),
    "builtins.MemoryError": Meaning(ErrorCode.E_OOM, "out_of_memory"),
}
STOPPED: dict[str, Meaning] = {
    "cancelled": Meaning(ErrorCode.E_CANCELLED, "cancelled"),
    "interrupted": Meaning(ErrorCode.E_INTERRUPTED, "shutdown"),
    "deadline": Meaning(ErrorCode.E_TIMEOUT, "deadline"),
}
# What an error that nobody foresaw means, by where it happened.
UNFORESEEN: dict[str, ErrorCode] = {
    "downloads": ErrorCode.E_DOWNLOAD_FAILED,
    "embeddings": ErrorCode.E_AUDIO_EMBEDDING,
    "pipeline_warm": ErrorCode.E_PIPELINE_LOAD,
    "muxing": ErrorCode.E_FFMPEG,
    "upload": ErrorCode.E_UPLOAD,
}
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
STACK_FRAMES = 4


def attempt(work: Callable[[], T], *, stage: Callable[[], str], log: JobLog) -> T | ErrorInfo:
    """What `work` returns, or why it failed; the failure is logged.

    `stage` is asked where the job was when it failed.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001  the edge of the process, house rule 18
        info = explain(error, at_stage=stage(), redactor=log.redactor)
        log.write("error", level="ERROR", details=_facts(info, error))
        return info


def explain(error: BaseException, *, at_stage: str, redactor: Redactor) -> ErrorInfo:
    """The coded error for an exception; nothing in it is secret."""
    meaning = _meaning(error, at_stage)
    said = str(error).strip()
    message = redactor.text(said or meaning.code.meaning, limit=2000)
    if _names(error)[0].startswith("builtins.") and said:
        message = f"{meaning.code.meaning} ({type(error).__name__}: {message})"
    retryable = meaning.retryable
    if retryable is None:
        retryable = getattr(error, "retryable", meaning.code.retryable)
    cause = error.__cause__ or error
    hint = getattr(error, "hint", None) or meaning.code.hint
    return ErrorInfo(
        code=meaning.code,
        message=message,
        reason=meaning.reason or getattr(error, "reason", ""),
        retryable=retryable,
        at_stage=at_stage,
        cause_class=type(cause).__name__,
        cause_message=redactor.text(str(cause), limit=500),
        hint=hint,
    )


def _meaning(error: BaseException, at_stage: str) -> Meaning:
    reason = getattr(error, "reason", None)
    names = _names(error)
    if "itk_worker.JobStoppedError" in names:
        return STOPPED[str(reason)]
    if reason == "no_space" or (isinstance(error, OSError) and error.errno in NO_SPACE):
        code = ErrorCode.E_UPLOAD if at_stage == "upload" else ErrorCode.E_FFMPEG
        return Meaning(code, "no_space")
    for name in names:
        if name in MEANINGS:
            return MEANINGS[name]
    return Meaning(UNFORESEEN.get(at_stage, ErrorCode.E_GENERATION_RUNTIME), "unexpected")


def _names(error: BaseException) -> tuple[str, ...]:
    """`package.Class` for the exception's class and its bases, nearest first."""
    return tuple(
        f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(error).__mro__
    )


def _facts(info: ErrorInfo, error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-STACK_FRAMES:]
    stack = [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames]
    return {
        "code": info.code.value,
        "message": info.message,
        "reason": info.reason,
        "retryable": info.retryable,
        "at_stage": info.at_stage,
        "cause_class": info.cause_class,
        "stack_tail": stack,
    }
