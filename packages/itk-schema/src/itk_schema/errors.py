"""What can go wrong with a job, as codes and as exceptions that carry facts."""

from collections.abc import Iterable
from enum import StrEnum

from attrs import field, frozen

MAX_LISTED_PROBLEMS = 20
"""How many problems the text of an InvalidJobError spells out; `problems` holds all that were
collected."""


class ErrorCode(StrEnum):
    """Why a job failed, for programs; `hint` says it for people."""

    E_INPUT_VALIDATION = "E_INPUT_VALIDATION"
    E_DOWNLOAD_FAILED = "E_DOWNLOAD_FAILED"
    E_AUDIO_EMBEDDING = "E_AUDIO_EMBEDDING"
    E_PIPELINE_LOAD = "E_PIPELINE_LOAD"
    E_OOM = "E_OOM"
    E_FFMPEG = "E_FFMPEG"
    E_GENERATION_RUNTIME = "E_GENERATION_RUNTIME"
    E_UPLOAD = "E_UPLOAD"
    E_TIMEOUT = "E_TIMEOUT"
    E_INTERRUPTED = "E_INTERRUPTED"
    E_CANCELLED = "E_CANCELLED"

    @property
    def facts(self) -> "CodeFacts":
        """What is known about every error with this code."""
        return _FACTS[self]

    @property
    def retryable(self) -> bool:
        """Whether the same job may succeed if sent again, unless the error itself knows better."""
        return self.facts.retryable

    @property
    def meaning(self) -> str:
        """What happened, in one sentence."""
        return self.facts.meaning

    @property
    def hint(self) -> str:
        """What a person can do about it, in one sentence."""
        return self.facts.hint


@frozen(kw_only=True)
class CodeFacts:
    """What every error with one code has in common."""

    meaning: str
    hint: str
    retryable: bool
    stages: tuple[str, ...]
    """The `at_stage` values with which it usually comes."""


_FACTS: dict[ErrorCode, CodeFacts] = {
    ErrorCode.E_INPUT_VALIDATION: CodeFacts(
        meaning="The job asks for something that is missing, unknown, out of range or unreadable.",
        hint="Correct the field that the message names and send the job again.",
        retryable=False,
        stages=("validation", "downloads"),
    ),
    ErrorCode.E_DOWNLOAD_FAILED: CodeFacts(
        meaning="An input file could not be fetched.",
        hint="Check that the URL answers without a login from outside your network, then retry.",
        retryable=True,
        stages=("downloads",),
    ),
    ErrorCode.E_AUDIO_EMBEDDING: CodeFacts(
        meaning="The speech could not be turned into features.",
        hint="Check that the audio plays and holds at least 0.4 s of sound; "
        "a WAV file is the safest form.",
        retryable=False,
        stages=("embeddings",),
    ),
    ErrorCode.E_PIPELINE_LOAD: CodeFacts(
        meaning="The model could not be loaded: weights are missing, damaged or do not fit.",
        hint="The operator of the endpoint must correct the path or file that the message names.",
        retryable=False,
        stages=("pipeline_warm",),
    ),
    ErrorCode.E_OOM: CodeFacts(
        meaning="The GPU has too little memory for this job.",
        hint="Use size infinitetalk-480, a smaller frame_num, or an endpoint with a larger GPU.",
        retryable=False,
        stages=("generation_sampling", "generation_decode"),
    ),
    ErrorCode.E_FFMPEG: CodeFacts(
        meaning="A video or audio stream could not be read or written.",
        hint="Convert the input to MP4 (H.264) or WAV and send the job again.",
        retryable=False,
        stages=("downloads", "muxing"),
    ),
    ErrorCode.E_GENERATION_RUNTIME: CodeFacts(
        meaning="The model failed while it made the video.",
        hint="Try another base_seed or a smaller frame_num; if it stays, report the job id.",
        retryable=False,
        stages=("generation_preprocess", "generation_sampling", "generation_decode"),
    ),
    ErrorCode.E_UPLOAD: CodeFacts(
        meaning="The video was made but could not be stored.",
        hint="Retry; if it fails again, the operator must check the storage's settings and space.",
        retryable=True,
        stages=("upload",),
    ),
    ErrorCode.E_TIMEOUT: CodeFacts(
        meaning="The job needs or needed more time than it was given.",
        hint="Raise policy.executionTimeout (milliseconds), or use fewer steps or shorter speech.",
        retryable=False,
        stages=("validation", "generation_sampling"),
    ),
    ErrorCode.E_INTERRUPTED: CodeFacts(
        meaning="The worker was told to stop before the job was done.",
        hint="Send the job again; another worker will take it.",
        retryable=True,
        stages=("generation_sampling",),
    ),
    ErrorCode.E_CANCELLED: CodeFacts(
        meaning="The job was cancelled by its owner.",
        hint="Nothing to do; send the job again if you want the video after all.",
        retryable=False,
        stages=("generation_sampling",),
    ),
}


@frozen(kw_only=True)
class Problem:
    """One thing that is wrong with a job: where, what was needed, and what came."""

    path: str
    """Such as `input.batch[2].cond_audio.person1`."""
    needed: str
    came: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.path}: needs {self.needed}, got {self.came}{hint}"


def _as_tuple(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(problems)


@frozen
class InvalidJobError(ValueError):
    """A job, request or result that does not follow the contract, with every problem found."""

    problems: tuple[Problem, ...] = field(converter=_as_tuple)

    def __str__(self) -> str:
        listed = "\n".join(str(problem) for problem in self.problems[:MAX_LISTED_PROBLEMS])
        more = len(self.problems) - MAX_LISTED_PROBLEMS
        return listed if more <= 0 else f"{listed}\n... {more} more problems"
