"""Wherever the models live, the picture is the same."""

import copy
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from itk_engine import Engine, EngineConfig, GenerationRequest, OutOfMemoryError
from itk_engine.model import DiTConfig
from itk_engine.placement import GIB, FirstPlaces, first_places
from itk_schema import PARAMETERS

CPU = torch.device("cpu")
# For every memory parameter some values that force something.
FORCED: dict[str, tuple[Any, ...]] = {
    "offload_model": (True, False),
    "num_persistent_param_in_dit": (0, 10_000),
}


def _video(engine: Engine, request: GenerationRequest) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in engine.generate(request)])


def test_no_memory_parameter_is_forgotten() -> None:
    """The catalog and the table of forced values name the same parameters."""
    assert set(FORCED) == {each.name for each in PARAMETERS if each.kind == "memory"}


@pytest.mark.parametrize("name", FORCED)
def test_it_changes_the_plan_and_not_the_picture(
    models: Any, request_of: Callable[..., GenerationRequest], *, name: str
) -> None:
    """Forced and unforced generations in a row give the same video bit by bit."""
    engine = Engine(copy.deepcopy(models), EngineConfig(), CPU)
    plain = _video(engine, request_of())
    default = engine.plan
    assert default is not None
    assert default.streamed_blocks == 0
    for value in FORCED[name]:
        forced = _video(engine, request_of(**{name: value}))
        assert np.array_equal(forced, plain)
        assert engine.plan is not None
        assert value is False or engine.plan != default
    assert np.array_equal(_video(engine, request_of()), plain)
    assert engine.plan is not None
    assert attrs.evolve(engine.plan, pinned_bytes=0) == default  # the copies stay
    engine.close()


class Watched:
    """A home that counts how often the text encoder is made ready."""

    def __init__(self, home: Any) -> None:
        self._home = home
        self.readings = 0

    def reading(self) -> Any:
        """Count, and do it."""
        self.readings += 1
        return self._home.reading()

    def __getattr__(self, name: str) -> Any:
        """Be the home in all else."""
        return getattr(self._home, name)


def test_the_text_encoder_is_brought_for_new_prompts_alone(
    models: Any, request_of: Callable[..., GenerationRequest]
) -> None:
    """States that are remembered need no encoder, wherever it lives."""
    engine = Engine(copy.deepcopy(models), EngineConfig(), CPU)
    engine._home = home = Watched(engine._home)
    for prompt, readings in (("old", 1), ("old", 1), ("new", 2), ("old", 2)):
        engine.prepare(request_of(prompt=prompt, offload_model=True))
        assert home.readings == readings
    engine.close()


def test_a_budget_that_cannot_hold_is_an_error_that_advises(
    models: Any, request_of: Callable[..., GenerationRequest]
) -> None:
    """The error says what is needed, what there is and what to change."""
    engine = Engine(copy.deepcopy(models), EngineConfig(vram_budget_gib=0.5), CPU)
    with pytest.raises(OutOfMemoryError, match=r"0\.5 GiB may be used; take a smaller size"):
        engine.prepare(request_of())


def test_quantised_at_load_the_picture_moves_a_little(
    request_of: Callable[..., GenerationRequest], models: Any
) -> None:
    """The report says how far the weights moved; the video keeps its length."""
    exact = _video(Engine(copy.deepcopy(models), EngineConfig(), CPU), request_of())
    engine = Engine(copy.deepcopy(models), EngineConfig(fp8="always"), CPU)
    near = _video(engine, request_of())
    assert near.shape == exact.shape
    assert engine.plan is not None
    assert engine.plan.precision == "fp8"
    assert engine.fidelity is not None


def test_weights_go_straight_to_a_device_that_holds_them() -> None:
    """A small budget reads the transformer to the host first, from where it is streamed."""

    def places(gib: int, *, quantised: bool = False) -> FirstPlaces:
        return first_places(
            DiTConfig(),
            torch.device("meta"),
            dtype=torch.bfloat16,
            budget_bytes=gib * GIB,
            quantised=quantised,
        )

    large, small, tight = (places(gib) for gib in (76, 53, 23))
    assert (large.transformer.type, large.text.type) == ("meta", "meta")
    assert (small.transformer.type, small.text.type) == ("meta", "cpu")
    assert (tight.transformer.type, tight.text.type) == ("cpu", "cpu")
    assert places(32).transformer.type == "cpu"
    assert places(32, quantised=True).transformer.type == "meta"
