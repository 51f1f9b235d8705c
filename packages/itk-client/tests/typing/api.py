"""How a caller uses the public names; type checkers read it, nothing runs it."""

from pathlib import Path

from itk_client import (
    AsyncClient,
    BatchResult,
    Client,
    Event,
    Health,
    Job,
    JobFailedError,
    JobStatus,
    Patience,
    Progressed,
    Result,
    SavedFiles,
)
from itk_schema import CondAudio, JobInput


def submit(client: Client) -> Job:
    """A typed job and a mapping are both jobs."""
    client.submit({"prompt": "x", "cond_video": Path("a.png")})
    speech = CondAudio(person1="https://example.com/a.wav")
    job = JobInput(prompt="x", cond_video="https://example.com/a.png", cond_audio=speech)
    return client.submit(job, execution_timeout_seconds=60, ttl_seconds=3600)


def follow(job: Job) -> JobStatus:
    """Events are a closed union."""
    for event in job.events(timeout_seconds=10.0):
        show(event)
    return job.wait()


def show(event: Event) -> str:
    """A progress event has its progress."""
    return event.progress.stage if isinstance(event, Progressed) else event.job_id


def fetch(job: Job) -> SavedFiles | None:
    """Results are single or batches; errors carry facts."""
    try:
        result: Result | BatchResult = job.result(on_event=lambda _event: None)
    except JobFailedError as error:
        return job.download() if error.retryable else None
    if isinstance(result, BatchResult) or result.output.seed < 0 or not result.video.bytes:
        return None
    return job.download("out", name="talk")


async def asynchronous(client: AsyncClient) -> Health:
    """The async client has the same names."""
    job = await client.submit({"prompt": "x"})
    async for event in job.events():
        show(event)
    await job.cancel()
    return await client.health()


def patient() -> Patience:
    """Patience is a value."""
    return Patience(timeout_seconds=60, silence_seconds=10)
