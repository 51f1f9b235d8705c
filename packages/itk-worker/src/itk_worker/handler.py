"""Makes one video of one job: parse, fetch, prepare, generate, mux, publish."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from itk_media import VideoFrames, VideoWriter
from itk_schema import (
    FRAMES_PER_SECOND,
    ArtifactNames,
    JobInput,
    JobSuccess,
    Stage,
    Timings,
    VideoArtifact,
    dump,
    input_warnings,
    resolve_parameters,
    resolve_seed,
    to_json,
)

from .cancel import StopSwitch
from .dubs import lay_under, scenes_of, without_effect
from .encoding import ChunkEncoder
from .features import NO_SYNTHESISER, require_available
from .inputs import Fetch, UnusableInputError, fetch_inputs, hear, read_masks, see
from .offers import Offers
from .pace import Pace
from .port import Order, Synthesiser, VideoEngine
from .report import Reporter
from .settings import Settings
from .storage import Artifacts, choose_outbox
from .storage.artifacts import StorageError
from .synthesis import say_aloud

if TYPE_CHECKING:
    from itk_schema import OutputConfig, Parameters

    from .inputs import Heard
    from .port import Prepared
    from .storage import Outbox, Published

LOG_SUMMARIES = 40
NOTHING_SKIPPED = (
    "use_teacache skipped nothing: it always computes the first five steps, and later ones where "
    "they differ by more than teacache_thresh"
)


@frozen(kw_only=True)
class Bench:
    """What every job of this worker uses."""

    settings: Settings
    engine: VideoEngine
    fetch: Fetch
    pace: Pace
    synthesiser: Synthesiser | None = None  # None: jobs with text are refused
    offers: Offers = field(factory=Offers)
    warnings: tuple[str, ...] = ()  # about the worker itself, such as "tiny checkpoint"


@frozen(kw_only=True)
class Task:
    """One video to make: the job, who it is, and whom to tell."""

    job: JobInput
    job_id: str
    item_id: str | None = None
    item_index: int | None = None
    path: str = "input"  # where the job stands in the request, for error messages
    folder: Path
    report: Reporter
    switch: StopSwitch
    cold_start_ms: float = 0.0
    load_ms: float = 0.0


@frozen(kw_only=True, eq=False)
class _Made:
    """A video in the job's folder."""

    video: Path
    thumbnail: Path
    frames: int
    preprocess_ms: float
    sampling_ms: float
    decode_ms: float
    mux_ms: float
    skipped: int


def make_video(task: Task, bench: Bench) -> JobSuccess:
    """Do the whole job; every failure is an exception that `problems` knows how to explain."""
    began = time.monotonic()
    say, job, path = task.report.stage, task.job, task.path
    parameters = resolve_parameters(job)
    if job.tts_audio:
        parameters = evolve(parameters, audio_type="para")  # its speakers wait for each other
    _require_offered(task, bench, parameters)
    outbox = choose_outbox(job.output_config, bench.settings)
    names = _names(task, parameters)
    say(Stage.VALIDATION_OK, size=parameters.size, steps=parameters.sample_steps)

    say(Stage.DOWNLOADS_STARTED)
    clock = _Clock()
    inputs = fetch_inputs(
        job, fetch=bench.fetch, into=task.folder, check=task.switch.check, path=path
    )
    recorded = hear(inputs, parameters, path=path) if inputs.speeches else None
    masks = read_masks(inputs, path=path)
    picture = see(inputs, path=path)
    fetch_ms = clock.lap_ms()

    try:
        say(Stage.DOWNLOADS_OK, **inputs.sizes)
        say(Stage.EMBEDDINGS_STARTED)
        task.switch.check()
        scenes = scenes_of(picture, inputs, parameters, check=task.switch.check, path=path)
        spoken = recorded or say_aloud(
            job, parameters, bench.synthesiser, check=task.switch.check, path=path
        )
        heard = lay_under(spoken, inputs, parameters, path=path)
        order = Order(
            prompt=job.prompt,
            negative_prompt=parameters.negative_prompt,
            picture=picture,
            speeches=heard.speeches,
            parameters=evolve(parameters, audio_type="para") if heard.laid_out else parameters,
            seed=resolve_seed(parameters.base_seed, task.job_id, task.item_id),
            speech_loudness=heard.loudness,
            bbox=job.bbox,
            masks=masks,
            scenes=scenes,
        )
        prepared = _prepare(order, bench)
        embedding_ms = clock.lap_ms()
        say(Stage.EMBEDDINGS_OK, frames=prepared.frames, chunks=prepared.chunks)

        say(Stage.PIPELINE_WARM_STARTED)
        task.switch.check()
        estimate = bench.pace.require_time(prepared, parameters, task.switch.left_seconds)
        say(Stage.PIPELINE_WARM_OK, **_estimated(estimate))
        made = _generate(task, bench, order, prepared, heard)
    finally:
        if isinstance(picture, VideoFrames):
            picture.close()

    warnings = _warnings(task, bench, order, made, heard)
    timings = Timings(
        cold_start_ms=round(task.cold_start_ms),
        load_ms=round(task.load_ms),
        preprocess_ms=round(fetch_ms + made.preprocess_ms),
        embedding_ms=round(embedding_ms),
        sampling_ms=round(made.sampling_ms),
        decode_ms=round(made.decode_ms),
        mux_ms=round(made.mux_ms),
    )
    result = JobSuccess(
        job_id=task.job_id,
        item_id=task.item_id,
        item_index=task.item_index,
        video=_describe(made),
        timings=timings,
        params=_params(parameters, prepared),
        model=bench.engine.model_info,
        gpu=bench.engine.gpu,
        seed=order.seed,
        warnings=warnings,
    )
    return _publish(task, outbox, result, made=made, names=names, began=began)


def _require_offered(task: Task, bench: Bench, parameters: Parameters) -> None:
    """Let a job pass that this worker can do with the weights that it has."""
    lacking = () if bench.synthesiser else (NO_SYNTHESISER,)
    require_available(task.job, parameters, path=task.path, lacking=lacking)
    bench.offers.require(task.job, parameters, path=task.path)


def _prepare(order: Order, bench: Bench) -> Prepared:
    prepared = bench.engine.prepare(order)
    _require_length(prepared, bench.settings)
    return prepared


def _estimated(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"estimate_seconds": round(seconds, 1)}


def _generate(  # noqa: PLR0917  private: the pieces of one verb
    task: Task, bench: Bench, order: Order, prepared: Prepared, heard: Heard
) -> _Made:
    """Encode frames while chunks arrive; nothing of the video stays in memory."""
    video, thumbnail = task.folder / "video.mp4", task.folder / "thumbnail.jpg"
    preprocess_ms = sampling_ms = decode_ms = 0.0
    skipped = predictions = 0

    task.report.stage(Stage.GENERATION_STARTED, frames=prepared.frames, chunks=prepared.chunks)
    task.switch.check()
    writer = VideoWriter(
        video,
        width=prepared.width,
        height=prepared.height,
        frames_per_second=FRAMES_PER_SECOND,
        track=heard.track,
        metadata=_container_metadata(task, bench, order),
    )
    with writer, ChunkEncoder(writer, thumbnail=thumbnail) as encoder:

        def on_progress(step: Any) -> None:
            task.report.step(step)
            task.switch.check()
            encoder.check()

        for chunk in bench.engine.generate(prepared, on_progress=on_progress):
            preprocess_ms += chunk.timings.preprocess_ms
            sampling_ms += chunk.timings.sampling_ms
            decode_ms += chunk.timings.decode_ms
            skipped, predictions = skipped + chunk.skipped, predictions + chunk.predictions
            bench.pace.learn(prepared, order.parameters, chunk)
            encoder.write(chunk.frames)
            task.switch.check()
        cached = {"skipped": skipped, "predictions": predictions}
        told = cached if order.parameters.use_teacache else {}
        task.report.stage(Stage.MUXING_STARTED, **told)
        encoder.close()
    task.report.stage(Stage.MUXING_OK, frames=writer.frames_written)
    task.switch.check()
    return _Made(
        video=video,
        thumbnail=thumbnail,
        frames=writer.frames_written,
        preprocess_ms=preprocess_ms,
        sampling_ms=sampling_ms,
        decode_ms=decode_ms,
        mux_ms=encoder.busy_ms,
        skipped=skipped,
    )


def _publish(
    task: Task, outbox: Outbox, result: JobSuccess, *, made: _Made, names: str, began: float
) -> JobSuccess:
    """Hand the three files over and say where they are."""
    task.report.stage(Stage.UPLOAD_STARTED)
    clock = _Clock()
    metadata = task.folder / "metadata.json"
    metadata.write_text(_metadata(result, began), encoding="utf-8")
    files = Artifacts(video=made.video, thumbnail=made.thumbnail, metadata=metadata)
    published = outbox.publish(files, stem=names)
    upload_ms = clock.lap_ms()
    task.report.stage(Stage.UPLOAD_OK, video_url=published.url, key=published.key)
    total_ms = 1000 * (time.monotonic() - began)
    task.report.stage(Stage.COMPLETED)
    return _with_addresses(
        evolve(
            result,
            timings=evolve(result.timings, upload_ms=round(upload_ms), total_ms=round(total_ms)),
            logs=tuple(task.report.log.last(LOG_SUMMARIES)),
        ),
        published,
    )


def _with_addresses(result: JobSuccess, published: Published) -> JobSuccess:
    video = evolve(
        result.video,
        url=published.url,
        thumbnail_url=published.thumbnail_url,
        path=published.path,
        key=published.key,
    )
    return evolve(result, video=video, metadata_url=published.metadata_url)


def _metadata(result: JobSuccess, began: float) -> str:
    """What the JSON beside the video says: the result without addresses and logs."""
    so_far_ms = round(1000 * (time.monotonic() - began))
    known = evolve(result, timings=evolve(result.timings, total_ms=so_far_ms))
    plain = dump(known)
    for name in ("logs", "metadata_url"):
        plain.pop(name, None)
    plain["video"] = {
        name: value
        for name, value in plain["video"].items()
        if name not in {"url", "thumbnail_url", "path", "key"}
    }
    return to_json(plain)


def _names(task: Task, parameters: Parameters) -> str:
    """The key of the job's artifacts without extension: the same job, the same key."""
    config: OutputConfig | None = task.job.output_config
    names = ArtifactNames(
        job_id=task.job_id,
        size=parameters.size,
        sample_steps=parameters.sample_steps,
        seed=resolve_seed(parameters.base_seed, task.job_id, task.item_id),
        item_id=task.item_id,
        **({"prefix": config.prefix} if config and config.prefix else {}),
    )
    try:
        return names.key(".mp4").removesuffix(".mp4")
    except ValueError as error:
        message = f"{task.path}.output_config.prefix: {error}"
        raise StorageError(message, reason="invalid_key") from error


def _require_length(prepared: Prepared, settings: Settings) -> None:
    most = settings.max_video_seconds
    seconds = prepared.frames / FRAMES_PER_SECOND
    if most is not None and seconds > most:
        message = (
            f"the video would be {seconds:.1f} s long and this endpoint makes at most {most:g} s; "
            f"set max_frame_num to {int(most * FRAMES_PER_SECOND)} or send shorter speech"
        )
        raise UnusableInputError(message, "too_long")


def _warnings(  # noqa: PLR0917  private
    task: Task, bench: Bench, order: Order, made: _Made, heard: Heard
) -> tuple[str, ...]:
    longest = max(speech.duration_seconds for speech in order.speeches)
    seconds = made.frames / FRAMES_PER_SECOND
    cut = ()
    if longest > seconds + 1 / FRAMES_PER_SECOND:
        cut = (f"the speech is {longest:.1f} s long and the video {seconds:.1f} s",)
    idle = order.parameters.use_teacache and not made.skipped
    return (
        *bench.warnings,
        *bench.offers.warnings(task.job),
        *input_warnings(task.job),
        *without_effect(order.picture, order.parameters),
        *heard.warnings,
        *cut,
        *((NOTHING_SKIPPED,) if idle else ()),
    )


def _describe(made: _Made) -> VideoArtifact:
    with made.video.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return VideoArtifact(
        bytes=made.video.stat().st_size,
        sha256=sha256,
        frames=made.frames,
        fps=float(FRAMES_PER_SECOND),
        duration_seconds=made.frames / FRAMES_PER_SECOND,
    )


def _params(parameters: Parameters, prepared: Prepared) -> dict[str, Any]:
    sizes = {"width": prepared.width, "height": prepared.height, "frames": prepared.frames}
    return {**dump(parameters), **sizes}


def _container_metadata(task: Task, bench: Bench, order: Order) -> dict[str, str]:
    facts = {"job_id": task.job_id, "seed": order.seed, "model": dump(bench.engine.model_info)}
    return {"comment": to_json({**facts, "params": dump(order.parameters)})}


class _Clock:
    """Measures one part of a job after the other."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def lap_ms(self) -> float:
        """Milliseconds since the last lap."""
        now = time.monotonic()
        lap, self._since = 1000 * (now - self._since), now
        return lap
