"""How far a job is: the stages of a job, their names and their percentages."""

import re
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

ChunkPart: TypeAlias = Literal["preprocess", "sampling", "decode"]

GENERATION_FROM_PCT = 20.0
GENERATION_TO_PCT = 85.0
# Where the parts of a chunk begin and end, as shares of the chunk: sampling takes most of it.
_SAMPLING_FROM, _SAMPLING_TO = 0.05, 0.85
_CHUNK_STAGE = re.compile(
    r"chunk_(\d{1,6})_(?:(preprocess)|(sampling)_(\d{1,3})|(decode))", re.ASCII
)


class Stage(StrEnum):
    """The stages of every job, in order.

    Between generation_started and muxing_started come the stages of chunks; see chunk_stage.
    """

    VALIDATION_STARTED = "validation_started"
    VALIDATION_OK = "validation_ok"
    DOWNLOADS_STARTED = "downloads_started"
    DOWNLOADS_OK = "downloads_ok"
    EMBEDDINGS_STARTED = "embeddings_started"
    EMBEDDINGS_OK = "embeddings_ok"
    PIPELINE_WARM_STARTED = "pipeline_warm_started"
    PIPELINE_WARM_OK = "pipeline_warm_ok"
    GENERATION_STARTED = "generation_started"
    MUXING_STARTED = "muxing_started"
    MUXING_OK = "muxing_ok"
    UPLOAD_STARTED = "upload_started"
    UPLOAD_OK = "upload_ok"
    COMPLETED = "completed"


class AtStage(StrEnum):
    """Where a job was when it failed: the `at_stage` of an error and the event of a log line."""

    VALIDATION = "validation"
    DOWNLOADS = "downloads"
    EMBEDDINGS = "embeddings"
    PIPELINE_WARM = "pipeline_warm"
    GENERATION_PREPROCESS = "generation_preprocess"
    GENERATION_SAMPLING = "generation_sampling"
    GENERATION_DECODE = "generation_decode"
    MUXING = "muxing"
    UPLOAD = "upload"


STAGE_PERCENTAGES: dict[Stage, float] = {
    Stage.VALIDATION_STARTED: 0.0,
    Stage.VALIDATION_OK: 2.0,
    Stage.DOWNLOADS_STARTED: 3.0,
    Stage.DOWNLOADS_OK: 8.0,
    Stage.EMBEDDINGS_STARTED: 9.0,
    Stage.EMBEDDINGS_OK: 15.0,
    Stage.PIPELINE_WARM_STARTED: 15.0,
    Stage.PIPELINE_WARM_OK: 18.0,
    Stage.GENERATION_STARTED: GENERATION_FROM_PCT,
    Stage.MUXING_STARTED: GENERATION_TO_PCT,
    Stage.MUXING_OK: 90.0,
    Stage.UPLOAD_STARTED: 92.0,
    Stage.UPLOAD_OK: 98.0,
    Stage.COMPLETED: 100.0,
}


@frozen(kw_only=True)
class Progress:
    """One message about how far a job is."""

    type: Literal["progress"] = "progress"
    """Tells it from a result, which later stands in the same place."""
    stage: str
    pct: float
    job_id: str
    seq: int = 0
    """Rises with every message of a job."""
    details: dict[str, Any] = field(factory=dict)
    """While generating: chunk, chunks, step, steps, eta_seconds."""
    logs: tuple[Any, ...] = ()
    """The last log events, redacted."""
    item_id: str | None = None
    item_index: int | None = None


@frozen(kw_only=True)
class ChunkStage:
    """The stage of a chunk, taken apart."""

    part: ChunkPart
    chunk: int
    """Counted from 0."""
    pct: int | None = None
    """How far the sampling of this chunk is."""

    @property
    def at_stage(self) -> AtStage:
        """The same in the words of errors and logs."""
        return AtStage(f"generation_{self.part}")


def chunk_stage(part: ChunkPart, *, chunk: int, step: int = 0, steps: int = 1) -> str:
    """Return the wire name of a chunk's stage: chunk_0_preprocess, chunk_0_sampling_40, ..."""
    if part == "sampling":
        return f"chunk_{chunk}_sampling_{int(100 * _share(step, steps))}"
    return f"chunk_{chunk}_{part}"


def read_chunk_stage(stage: str) -> ChunkStage | None:
    """Take the wire name of a chunk's stage apart; None for any other stage."""
    found = _CHUNK_STAGE.fullmatch(stage)
    if found is None:
        return None
    chunk, preprocess, sampling, pct, _ = found.groups()
    if sampling:
        return ChunkStage(part="sampling", chunk=int(chunk), pct=min(int(pct), 100))
    return ChunkStage(part="preprocess" if preprocess else "decode", chunk=int(chunk))


def stage_percentage(stage: Stage | str, *, chunks: int = 1) -> float:
    """Return the percentage of a stage, for a job of so many chunks; ValueError if unknown."""
    found = read_chunk_stage(stage)
    if found is None:
        return STAGE_PERCENTAGES[Stage(stage)]
    return chunk_percentage(
        found.part, chunk=found.chunk, chunks=chunks, step=found.pct or 0, steps=100
    )


def chunk_percentage(
    part: ChunkPart, *, chunk: int, chunks: int, step: int = 0, steps: int = 1
) -> float:
    """Return how far a job is while it makes a chunk: from 20 at the first to 85 after the last.

    `chunk` counts from 0; `step` is the number of steps that are done.
    """
    shares = {
        "preprocess": 0.0,
        "sampling": _SAMPLING_FROM + (_SAMPLING_TO - _SAMPLING_FROM) * _share(step, steps),
        "decode": _SAMPLING_TO,
    }
    done = _share(chunk + shares[part], chunks)
    return round(GENERATION_FROM_PCT + (GENERATION_TO_PCT - GENERATION_FROM_PCT) * done, 1)


def batch_percentage(pct: float, *, item_index: int, items: int) -> float:
    """Return how far a batch is when one of its items is at `pct`; items count from 0."""
    return round(100.0 * _share(item_index + pct / 100.0, items), 1)


def at_stage(stage: Stage | str) -> AtStage:
    """Return where an error at this stage belongs."""
    chunk = read_chunk_stage(stage)
    if chunk is not None:
        return chunk.at_stage
    if stage == Stage.GENERATION_STARTED:
        return AtStage.GENERATION_PREPROCESS
    if stage == Stage.COMPLETED:
        return AtStage.UPLOAD
    return AtStage(Stage(stage).value.rpartition("_")[0])


def _share(done: float, of: float) -> float:
    return min(max(done / of, 0.0), 1.0) if of > 0 else 1.0
