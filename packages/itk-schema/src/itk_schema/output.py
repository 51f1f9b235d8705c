"""What a finished job says: the video, how it was made, or why it was not."""

from typing import Any, Literal, TypeAlias

from attrs import Factory, field, frozen

from .errors import ErrorCode

BatchStatus: TypeAlias = Literal["success", "partial", "error"]
VIDEO_MIME = "video/mp4"


@frozen(kw_only=True)
class VideoArtifact:
    """The video of a job and where to find it."""

    url: str | None = None
    """Presigned, public or a data: URI; null on a volume that nothing serves."""
    mime: str = VIDEO_MIME
    bytes: int = 0
    thumbnail_url: str | None = None
    path: str | None = None
    """On the endpoint's volume."""
    key: str | None = None
    sha256: str | None = None
    frames: int = 0
    fps: float = 25.0
    duration_seconds: float = 0.0


@frozen(kw_only=True)
class Timings:
    """How long each part of a job was busy, in milliseconds.

    Parts overlap, so that their sum may exceed total_ms.
    """

    cold_start_ms: float = 0.0
    load_ms: float = 0.0
    preprocess_ms: float = 0.0
    embedding_ms: float = 0.0
    sampling_ms: float = 0.0
    decode_ms: float = 0.0
    mux_ms: float = 0.0
    upload_ms: float = 0.0
    total_ms: float = 0.0


@frozen(kw_only=True)
class ModelInfo:
    """Which model made a video."""

    name: str = ""
    """`InfiniteTalk-14B`, or `tiny` for the small one that comes with the project."""
    weights: str = ""
    """What identifies the weights: a hash or a published name."""
    precision: str = ""


@frozen(kw_only=True)
class GpuInfo:
    """On what a video was made."""

    type: str = "cpu"
    count: int = 0


def _usual_retryable(error: "ErrorInfo") -> bool:
    return error.code.retryable


def _usual_hint(error: "ErrorInfo") -> str:
    return error.code.hint


@frozen(kw_only=True)
class ErrorInfo:
    """Why a job failed, for programs and for people."""

    code: ErrorCode
    message: str
    reason: str = ""
    """A finer word than the code: blocked_address, too_large, no_space, ..."""
    retryable: bool = field(default=Factory(_usual_retryable, takes_self=True))
    at_stage: str = ""
    cause_class: str = ""
    cause_message: str = ""
    hint: str = field(default=Factory(_usual_hint, takes_self=True))


@frozen(kw_only=True)
class Diagnostics:
    """The last words of processes that failed, redacted."""

    stdout_tail: str | None = None
    stderr_tail: str | None = None


@frozen(kw_only=True)
class JobSuccess:
    """The result of a job that made its video."""

    job_id: str
    status: Literal["success"] = "success"
    video: VideoArtifact
    timings: Timings = field(factory=Timings)
    params: dict[str, Any] = field(factory=dict)
    """The parameters as they were decided, by their catalog names."""
    model: ModelInfo = field(factory=ModelInfo)
    gpu: GpuInfo = field(factory=GpuInfo)
    seed: int = 0
    warnings: tuple[str, ...] = ()
    metadata_url: str | None = None
    logs: tuple[Any, ...] = ()
    """Checkpoint summaries, oldest first."""
    item_id: str | None = None
    item_index: int | None = None


@frozen(kw_only=True)
class JobFailure:
    """The result of a job that made no video."""

    job_id: str
    status: Literal["error"] = "error"
    error: ErrorInfo
    diagnostics: Diagnostics = field(factory=Diagnostics)
    item_id: str | None = None
    item_index: int | None = None


def _usual_status(batch: "BatchOutput") -> BatchStatus:
    won = sum(isinstance(item, JobSuccess) for item in batch.items)
    if won == len(batch.items):
        return "success"
    return "partial" if won else "error"


@frozen(kw_only=True)
class BatchOutput:
    """The results of a batch, item by item in the order of the batch."""

    job_id: str
    items: tuple[JobSuccess | JobFailure, ...] = ()
    status: BatchStatus = field(default=Factory(_usual_status, takes_self=True))
    """Follows from the items unless given."""
