"""Which steps TeaCache skips."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from itk_engine.model import DiT, DiTConfig, TimeSignal
from itk_engine.sampling import (
    Branch,
    Predictor,
    TeaCache,
    plan_reference_skips,
    plan_skips,
    timesteps,
)

MakeDiT = Callable[..., DiT]
MakeInputs = Callable[..., Any]


def test_nothing_is_skipped_at_threshold_zero() -> None:
    """A threshold of zero computes every step."""
    plan = plan_skips(TeaCache(threshold=0.0, size="infinitetalk-480"), _time(12), branches=3)
    assert plan.skipped == 0
    assert plan.calls == 36


def test_the_first_five_steps_are_always_computed() -> None:
    """However high the threshold, five steps warm up."""
    plan = plan_skips(TeaCache(threshold=1e9, size="infinitetalk-480"), _time(12), branches=1)
    assert [step[0].compute for step in plan.decisions] == [True] * 5 + [False] * 7


def test_the_plain_signal_computes_the_last_step_too() -> None:
    """By the embedding the first and the last step are computed."""
    cache = TeaCache(threshold=1e9, size="infinitetalk-720", signal="embedding")
    plan = plan_skips(cache, _time(6), branches=2)
    assert [step[0].compute for step in plan.decisions] == [True, *[False] * 4, True]


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_every_branch_has_its_own_slot_and_decides_alike(branches: int) -> None:
    """One, two or three branches share the decision and never a residual."""
    cache = TeaCache(threshold=0.3, size="infinitetalk-480")
    plan = plan_skips(cache, _time(10), branches=branches)
    alone = plan_skips(cache, _time(10), branches=1)
    for step, single in zip(plan.decisions, alone.decisions, strict=True):
        assert [decision.slot for decision in step] == list(range(branches))
        assert {decision.compute for decision in step} == {single[0].compute}
    assert plan.skipped == branches * alone.skipped


def test_with_three_branches_the_reference_counts_right() -> None:
    """Its modulo three is harmless with three branches, in every chunk."""
    cache = TeaCache(threshold=0.3, size="infinitetalk-480")
    ours = plan_skips(cache, _time(10), branches=3)
    assert plan_reference_skips(cache, _time(10), branches=3, chunks=2) == (ours, ours)


def test_a_skipped_step_adds_what_the_last_computed_one_added(
    small_dit: MakeDiT, dit_inputs: MakeInputs
) -> None:
    """Skipping runs no block and repeats the sum of the blocks before."""
    dit = small_dit()
    inputs = dit_inputs(dit.config)
    time = dit.embed_time(torch.tensor([1000.0, 990.0, 980.0, 970.0, 960.0, 950.0]))
    plan = plan_skips(TeaCache(threshold=1e9, size="infinitetalk-480"), time, branches=1)
    conditions = {Branch.COND: dit.condition(**inputs.conditions)}
    predictor = Predictor(dit, time=time, conditions=conditions, plan=plan)
    for step in range(5):
        predictor(step, inputs.latent)
    ran = []
    hook = dit.blocks[0].register_forward_hook(lambda *_: ran.append(1))
    skipped = predictor(5, inputs.latent)[Branch.COND]
    hook.remove()
    assert not ran
    tokens = dit.embed_latent(inputs.latent, conditions[Branch.COND])
    grid = (inputs.latent.shape[2], inputs.latent.shape[3] // 2, inputs.latent.shape[4] // 2)
    residual = dit.run_blocks(tokens, time.step(4), conditions[Branch.COND]) - tokens
    expected = dit.predict(tokens + residual, time.step(5), grid)
    torch.testing.assert_close(skipped, expected)


def _time(steps: int) -> TimeSignal:
    dit = DiT(DiTConfig(**_SMALL))
    weights = torch.Generator().manual_seed(1)
    for parameter in (*dit.time_embedding.parameters(), *dit.time_projection.parameters()):
        parameter.data.normal_(generator=weights, std=0.5)
    with torch.no_grad():
        return dit.embed_time(timesteps(steps, shift=7.0)[:-1])


_SMALL = {
    "dim": 24,
    "ffn_dim": 32,
    "freq_dim": 32,
    "num_heads": 2,
    "num_layers": 1,
    "text_len": 4,
    "text_dim": 8,
    "intermediate_dim": 8,
    "output_dim": 8,
    "context_tokens": 2,
    "audio_blocks": 2,
    "audio_channels": 4,
    "clip_dim": 8,
}
