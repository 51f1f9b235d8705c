"""How often the transformer runs: never for nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from itk_engine.engine import Engine
from itk_engine.request import GenerationRequest

SCALES = {  # text and speech scale, and how many branches count
    "three": ({"sample_text_guide_scale": 5.0, "sample_audio_guide_scale": 4.0}, 3),
    "equal": ({"sample_text_guide_scale": 4.0, "sample_audio_guide_scale": 4.0}, 2),
    "text alone": ({"sample_text_guide_scale": 5.0, "sample_audio_guide_scale": 1.0}, 2),
    "speech alone": ({"sample_text_guide_scale": 1.0, "sample_audio_guide_scale": 2.0}, 2),
    "none": ({"sample_text_guide_scale": 1.0, "sample_audio_guide_scale": 1.0}, 1),
    "none, projected": (
        {"sample_text_guide_scale": 1.0, "sample_audio_guide_scale": 1.0, "use_apg": True},
        2,
    ),
    "equal, projected": (
        {"sample_text_guide_scale": 4.0, "sample_audio_guide_scale": 4.0, "use_apg": True},
        3,
    ),
}


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("cached", [False, True], ids=["plain", "teacache"])
def test_the_blocks_run_once_for_every_branch_that_counts(
    engine: Engine,
    models: Any,
    request_of: Callable[..., GenerationRequest],
    name: str,
    *,
    cached: bool,
) -> None:
    """Branches of weight zero and skipped steps run no block; every chunk begins afresh."""
    scales, branches = SCALES[name]
    slow = {"sample_steps": 7, "sample_shift": 100.0}  # steps so near that some may be skipped
    tea = {"use_teacache": True, "teacache_thresh": 10.0} if cached else {}
    ran: list[int] = []
    hook = models.dit.blocks[0].register_forward_hook(lambda *_: ran.append(1))
    counted, told = [], []
    try:
        for chunk in engine.generate(request_of(seconds=0.5, **scales, **slow, **tea)):
            counted.append(len(ran))
            told.append((chunk.predictions, chunk.skipped))
            ran.clear()
    finally:
        hook.remove()
    skipped = 2 * branches if cached else 0  # all but the first five steps
    assert told == [(7 * branches, skipped)] * 2
    assert counted == [7 * branches - skipped] * 2
