"""What a person reads about a job: stages and events as short phrases."""

from __future__ import annotations

from itk_schema import Progress, read_chunk_stage

from .events import Event, Finished, Progressed, Queued, Started, StateSeen, Unreachable

_STAGES = {
    "validation": "checking the job",
    "downloads": "fetching the files",
    "embeddings": "listening to the speech",
    "pipeline_warm": "preparing the model",
    "generation": "starting to draw",
    "muxing": "finishing the file",
    "upload": "storing the files",
    "completed": "done",
}
_PARTS = {"preprocess": "preparing", "sampling": "drawing", "decode": "decoding"}


def stage_words(progress: Progress) -> str:
    """Where a job is, such as `drawing chunk 1 of 2, step 3 of 8`."""
    chunk = read_chunk_stage(progress.stage)
    if chunk is None:
        plain = progress.stage.removesuffix("_started").removesuffix("_ok")
        words = _STAGES.get(plain, progress.stage.replace("_", " "))
    else:
        details = progress.details or {}
        total = details.get("chunks")
        words = f"{_PARTS[chunk.part]} chunk {chunk.chunk + 1}" + (f" of {total}" if total else "")
        if chunk.part == "sampling" and details.get("steps"):
            words += f", step {details.get('step', 0)} of {details['steps']}"
    if progress.item_index is not None:
        return f"item {progress.item_index + 1}: {words}"
    return words


def event_words(event: Event) -> str:
    """An event as a phrase."""
    if isinstance(event, Queued):
        return "back in the queue" if event.again else "waiting for a worker"
    if isinstance(event, Started):
        return "a worker took the job"
    if isinstance(event, Progressed):
        return stage_words(event.progress)
    if isinstance(event, Unreachable):
        return f"no answer, looking again in {event.pause_seconds:.0f} s ({event.error})"
    if isinstance(event, StateSeen):
        return f"state {event.state}"
    assert isinstance(event, Finished)  # noqa: S101  the last kind there is
    return event.status.state.lower().replace("_", " ")
