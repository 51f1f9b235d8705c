"""Loads the real engine and speaks to it in the worker's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from itk_schema import ModelInfo, SpeakerBoxes

from .offers import Offers
from .port import Synthesiser, VideoEngine
from .synthesis import load_synthesiser
from .weights import TINY_WARNING, find_checkpoint, offers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from itk_engine import Engine, GenerationRequest
    from itk_schema import GpuInfo

    from .logs import Log
    from .port import Chunk, Order, Prepared, Step
    from .settings import Settings

TINY_NAME = "tiny"


@frozen(kw_only=True)
class Loaded:
    """An engine that is ready, and what its results must mention."""

    engine: VideoEngine
    synthesiser: Synthesiser | None = None  # None: jobs with text are refused
    offers: Offers = field(factory=Offers)
    warnings: tuple[str, ...] = ()


def load_engine(settings: Settings, log: Log) -> Loaded:
    """Load the configured checkpoint, or the tiny one.

    Raises:
        WeightsError, itk_engine.EngineError: what is wrong with which file.
    """
    from itk_engine import Engine, EngineConfig

    synthesiser = load_synthesiser(settings)  # in a moment, and so first to fail
    files, tiny = find_checkpoint(settings)
    if tiny:
        details = {"folder": str(files.base), "meaning": TINY_WARNING}
        log.write("tiny_model", level="WARN", details=details)
    config = EngineConfig(
        device=settings.device,
        dtype=settings.dtype,  # type: ignore[arg-type]  settings allow its words only
        attention=settings.attention,  # type: ignore[arg-type]
        vram_budget_gib=settings.vram_budget_gib,
        fp8=settings.fp8,  # type: ignore[arg-type]
        kernel_cache=settings.cache / "kernels",
    )
    engine = Engine.load(files, config)
    return Loaded(
        engine=RealEngine(engine, tiny=tiny),
        synthesiser=synthesiser,
        offers=offers_of(files, settings, precision=engine.model_info.precision),
        warnings=(TINY_WARNING,) if tiny else (),
    )


class RealEngine:
    """itk_engine.Engine as the worker's port."""

    def __init__(self, engine: Engine, *, tiny: bool) -> None:
        self._engine = engine
        self._tiny = tiny

    @property
    def model_info(self) -> ModelInfo:
        """Which model this is; the tiny one is always called that."""
        info = self._engine.model_info
        return evolve(info, name=TINY_NAME) if self._tiny else info

    @property
    def gpu(self) -> GpuInfo:
        """On what it runs."""
        return self._engine.gpu

    def prepare(self, order: Order) -> Prepared:
        """Compute what does not change while the video is made."""
        return self._engine.prepare(_request(order))

    def generate(self, prepared: Any, *, on_progress: Callable[[Step], None]) -> Iterator[Chunk]:
        """Yield the video's frames."""
        return self._engine.generate(prepared, on_progress=on_progress)

    def close(self) -> None:
        """Give the device back."""
        self._engine.close()


def _request(order: Order) -> GenerationRequest:
    import numpy as np

    from itk_engine import GenerationRequest, MovingPicture, StillPicture

    picture = order.picture
    return GenerationRequest(
        prompt=order.prompt,
        negative_prompt=order.negative_prompt,
        picture=(
            StillPicture(pixels=picture)
            if isinstance(picture, np.ndarray)
            else MovingPicture(
                video=picture,
                end=order.parameters.video_end,
                scenes_seconds=tuple(
                    (scene.start_seconds, scene.end_seconds) for scene in order.scenes
                ),
            )
        ),
        speeches=order.speeches,
        parameters=order.parameters,
        seed=order.seed,
        speech_loudness=order.speech_loudness,
        boxes=_boxes(order),
        masks=order.masks,
    )


def _boxes(order: Order) -> tuple[tuple[float, ...], ...]:
    if order.bbox is None:
        return ()
    if isinstance(order.bbox, SpeakerBoxes):
        return (order.bbox.person1, order.bbox.person2)
    return (order.bbox,)
