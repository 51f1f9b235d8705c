"""What users write, as their type checkers see it."""

from itk_schema import (
    Batch,
    BatchOutput,
    CondAudio,
    ErrorCode,
    ErrorInfo,
    JobFailure,
    JobInput,
    JobRequest,
    JobSuccess,
    Parameters,
    Policy,
    Progress,
    SpeakerBoxes,
    VideoArtifact,
    dump,
    parse_input,
    parse_output,
    parse_progress,
    resolve_parameters,
    resolve_seed,
    to_json,
)


def make_a_job() -> JobRequest:
    """Build every kind of job with what may be left out left out."""
    job = JobInput(
        prompt="A woman sings",
        cond_video="https://example.com/a.jpg",
        cond_audio=CondAudio(person1="/a.wav", person2="/b.wav"),
        bbox=SpeakerBoxes(person1=(0, 0, 1, 1), person2=(1, 0, 2, 1)),
        preset="draft",
        sample_steps=8,
        sample_shift=7.0,
        focus=(0.5, 0.3),
        speaker_order=("person2", "person1"),
    )
    batch = Batch(batch=(job,))
    return JobRequest(input=batch, policy=Policy(execution_timeout_seconds=1800.0))


def decide(job: JobInput) -> tuple[Parameters, int, int | None]:
    """Decide what a job leaves open."""
    decided: Parameters = resolve_parameters(job)
    frames: int | None = decided.max_frame_num
    shift: float = decided.sample_shift
    seed: int = resolve_seed(decided.base_seed, "job", "item")
    return Parameters(size="infinitetalk-720", sample_shift=shift), seed, frames


def read(raw: object) -> str:
    """Tell results apart."""
    parsed: JobInput | Batch = parse_input(raw)
    output: JobSuccess | JobFailure | BatchOutput = parse_output(dump(parsed))
    progress: Progress | None = parse_progress(raw)
    if isinstance(output, JobFailure):
        error: ErrorInfo = output.error
        return error.hint if error.retryable else error.code.meaning
    return to_json(progress)


FAILURE = JobFailure(
    job_id="a", error=ErrorInfo(code=ErrorCode.E_OOM, message="too large", at_stage="upload")
)
SUCCESS = JobSuccess(job_id="a", video=VideoArtifact(url=None, key="k"), warnings=("w",))
BOTH = BatchOutput(job_id="a", items=(FAILURE, SUCCESS))
