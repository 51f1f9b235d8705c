"""The engine: loads a checkpoint once, then makes videos chunk by chunk."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Self

import torch

from itk_engine.config import EngineConfig
from itk_engine.errors import OutOfMemoryError
from itk_engine.ops.attention import attention_named
from itk_engine.pipeline import Conditioned, Finished, Parts, Stepped, generate
from itk_engine.placement import GIB, Home, first_places, keep_kernels
from itk_engine.placement.parallel import start_team
from itk_engine.preparation import Prepared, needs, prepare, prompts_of
from itk_engine.request import ChunkTimings, GenerationProgress, GenerationRequest, VideoChunk
from itk_engine.sampling import Predictor, SeededNoise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from itk_engine.config import CheckpointFiles
    from itk_engine.model import DiT
    from itk_engine.ops.fp8 import Fidelity
    from itk_engine.pipeline import Event
    from itk_engine.placement import Plan
    from itk_engine.placement.parallel import Team
    from itk_engine.request import Stage
    from itk_engine.weights import Models
    from itk_schema import GpuInfo, ModelInfo

_ADVICE = (
    "choose size infinitetalk-480, fewer frame_num, no use_teacache, quantised weights, "
    "or a card with more memory"
)


class Engine:
    """A loaded checkpoint on one device; use it in a `with` block, or close it.

    It makes one video at a time and keeps nothing of a video when it is done.
    """

    def __init__(self, models: Models, config: EngineConfig, device: torch.device) -> None:
        self._models = models
        self._device = device
        self._home = Home(models, device, budget_bytes=_budget_bytes(config), fp8=config.fp8)
        self._team: Team | None = None
        self._together = ExitStack()
        models.dit.use_attention(attention_named(config.attention, device_type=device.type))

    @classmethod
    @torch.inference_mode(mode=False)  # weights outlive the inference that a caller may be in
    def load(
        cls,
        files: CheckpointFiles,
        config: EngineConfig | None = None,
        *,
        on_phase: Callable[[str], None] | None = None,
    ) -> Self:
        """Read a checkpoint onto the device; `on_phase` hears what is being loaded.

        Raises:
            MissingWeightsError: a file is not there.
            WeightsMismatchError: a file does not fit the model it claims to be.
            OutOfMemoryError: the weights do not fit on the device.
            LostFollowerError: a process that was to share the work did not start.
        """
        from itk_engine.weights import read_models, read_sizes

        config = config or EngineConfig()
        device = device_named(config.device)
        dtype = dtype_named(config.dtype, device)
        if config.kernel_cache is not None and device.type == "cuda":
            keep_kernels(config.kernel_cache)
        first = first_places(
            read_sizes(files),
            device,
            dtype=dtype,
            budget_bytes=_budget_bytes(config),
            fp8=config.fp8,
            quantised=files.quantised is not None,
        )
        with _memory(device, during="loading"):
            models = read_models(
                files,
                device=device,
                dtype=dtype,
                transformer_device=first.transformer,
                text_device=first.text,
                on_phase=on_phase,
            )
        engine = cls(models, config, device)
        if first.transformer == device and config.fp8 == "never":
            engine._gather(files, config, dtype)
        return engine

    @property
    def model_info(self) -> ModelInfo:
        """Return which model this is."""
        return self._models.info

    @property
    def gpu(self) -> GpuInfo:
        """Return on what the engine computes."""
        from itk_schema import GpuInfo

        if self._device.type != "cuda":
            return GpuInfo()
        count = 1 if self._team is None else self._team.size
        return GpuInfo(type=torch.cuda.get_device_name(self._device), count=count)

    @property
    def plan(self) -> Plan | None:
        """Return where the models lie since the last preparation, and the memory this takes."""
        return self._home.plan

    @property
    def fidelity(self) -> Fidelity | None:
        """Return how far quantising at load moved the weights; None where it was not done."""
        return self._home.fidelity

    def prepare(self, request: GenerationRequest) -> Prepared:
        """Hear the speech, read the prompt, choose sizes and chunks, put the models in place.

        Raises:
            SpeechTooShortError: a speech is under 0.4 s.
            InvalidRequestError: a box or a mask does not fit the picture.
            OutOfMemoryError: no placement of the models makes the generation fit.
        """
        demand, wishes = needs(request, bucket_scale=self._models.bucket_scale)
        with _memory(self._device, during="preparation"):
            self._home.arrange(demand, wishes)
            known = all(map(self._models.text.knows, prompts_of(request)))
            # An encoder that lives on the host is brought over for new prompts alone.
            with nullcontext() if known else self._home.reading():
                return prepare(self._models, request)

    def generate(
        self,
        request: GenerationRequest | Prepared,
        *,
        on_progress: Callable[[GenerationProgress], None] | None = None,
    ) -> Iterator[VideoChunk]:
        """Make the video, yielding the new frames of each chunk as soon as they are decoded.

        `on_progress` is called in order; what it raises ends the generation.

        Raises:
            NotFiniteError: a latent or a picture holds NaN or infinity.
            OutOfMemoryError: the device is too small; the error says what to change.
        """
        prepared = request if isinstance(request, Prepared) else self.prepare(request)
        noise = SeededNoise(prepared.seed, self._device)
        events = generate(self._parts, prepared.scene, noise)
        watch = _Watch(prepared, on_progress, self._device)
        with closing(events), _memory(self._device, during="generation"):
            watch.began()
            for event in events:
                if isinstance(event, Finished):
                    chunk = watch.finished(event)
                    del event  # its video would outlive its use on the device
                    yield chunk
                else:
                    watch.passed(event)
                    if isinstance(event, Stepped) and event.step == event.steps:
                        self._home.rest()

    def close(self) -> None:
        """Let go of the models, and of the processes that shared the work."""
        self._together.close()
        self._home.close()
        del self._models, self._home

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _parts(self) -> Parts:
        models = self._models
        predictor = Predictor if self._team is None else self._team.predictor
        return Parts(dit=models.dit, vae=models.vae, see=self._home.see, predictor=predictor)

    def _gather(self, files: CheckpointFiles, config: EngineConfig, dtype: torch.dtype) -> None:
        """Let further processes share every video, where there are devices for them."""
        devices = devices_named(config, self._device)
        if len(devices) > 1:
            load = partial(_read_follower, files=files, config=config, dtype=dtype)
            team = start_team(self._models.dit, load, devices=devices)
            self._team = self._together.enter_context(team)


def _budget_bytes(config: EngineConfig) -> int | None:
    return None if config.vram_budget_gib is None else int(config.vram_budget_gib * GIB)


def device_named(name: str) -> torch.device:
    """Return the device called "cpu", "cuda", "cuda:1", ... or, for "auto", the best there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def devices_named(config: EngineConfig, first: torch.device) -> tuple[str, ...]:
    """Return the devices that share a video, the first of them being the engine's own."""
    if first.type != "cuda":
        return (str(first),) * (config.processes or 1)
    if config.device != "auto" and config.processes is None:
        return (str(first),)
    count = config.processes or torch.cuda.device_count()
    return tuple(f"cuda:{index}" for index in range(min(count, torch.cuda.device_count())))


def _read_follower(
    device: str, *, files: CheckpointFiles, config: EngineConfig, dtype: torch.dtype
) -> DiT:
    from itk_engine.weights import read_transformer

    dit, _, _ = read_transformer(files, device=torch.device(device), dtype=dtype)
    kind = torch.device(device).type
    dit.use_attention(attention_named(config.attention, device_type=kind))
    return dit


def dtype_named(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype; "auto" is bfloat16 on CUDA and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


class _Watch:
    """Turns what the pipeline tells into progress, timings and frames."""

    def __init__(
        self,
        prepared: Prepared,
        report: Callable[[GenerationProgress], None] | None,
        device: torch.device,
    ) -> None:
        self._prepared = prepared
        self._report = report
        self._pace = _Pace(device)
        self._marks = [perf_counter()]

    def began(self) -> None:
        """Say that the first chunk is being prepared."""
        self._tell("preprocess", chunk=0, step=0)

    def passed(self, event: Event) -> None:
        """Say that a chunk is prepared or a step is done."""
        if isinstance(event, Conditioned):
            self._pace.catch_up()
            self._marks.append(perf_counter())
            return
        assert isinstance(event, Stepped)
        self._pace.one_behind()
        self._tell("sampling", chunk=event.chunk.index, step=event.step)
        if event.step == event.steps:
            self._pace.catch_up()
            self._marks.append(perf_counter())
            self._tell("decode", chunk=event.chunk.index, step=event.step)

    def finished(self, event: Finished) -> VideoChunk:
        """Return the chunk's new frames, in the size that the video has."""
        frames = self._prepared.deliver(event)
        self._marks.append(perf_counter())
        begun, conditioned, sampled, decoded = self._marks
        chunk = VideoChunk(
            index=event.chunk.index,
            frames=frames,
            timings=ChunkTimings(
                preprocess_ms=1000 * (conditioned - begun),
                sampling_ms=1000 * (sampled - conditioned),
                decode_ms=1000 * (decoded - sampled),
            ),
            predictions=event.calls,
            skipped=event.skipped,
        )
        self._marks = [perf_counter()]
        if not event.chunk.last:
            self._tell("preprocess", chunk=event.chunk.index + 1, step=0)
        return chunk

    def _tell(self, stage: Stage, *, chunk: int, step: int) -> None:
        if self._report is not None:
            self._report(
                GenerationProgress(
                    stage=stage,
                    chunk=chunk,
                    chunks=self._prepared.chunks,
                    step=step,
                    steps=self._prepared.steps,
                )
            )


class _Pace:
    """Keeps the host at most one step ahead of the device, so that progress is true.

    The device always has the next step queued and never waits for the host.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._previous: torch.cuda.Event | None = None

    def one_behind(self) -> None:
        """Wait until the step before the one just queued is done."""
        if self._device.type != "cuda":
            return
        if self._previous is not None:
            self._previous.synchronize()
        self._previous = torch.cuda.Event()
        self._previous.record(torch.cuda.current_stream(self._device))

    def catch_up(self) -> None:
        """Wait until everything that was queued is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._previous = None


@contextmanager
def _memory(device: torch.device, *, during: str) -> Iterator[None]:
    """Say what to change when the device runs out of memory."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfMemoryError(device=str(device), advice=_ADVICE, during=during) from error
