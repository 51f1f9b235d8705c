"""How branches become one velocity."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itk_engine.sampling import Branch, Guidance, Guide

COND, DROP_TEXT, UNCOND, DROP_AUDIO = Branch


@pytest.mark.parametrize(
    ("text", "speech", "branches"),
    [
        (5.0, 4.0, (COND, DROP_TEXT, UNCOND)),
        (1.0, 4.0, (COND, DROP_AUDIO)),
        (1.0, 1.0, (COND,)),
        (4.0, 4.0, (COND, UNCOND)),
        (5.0, 1.0, (COND, DROP_TEXT)),
        (1.0, 0.0, (DROP_AUDIO,)),
        (0.0, 4.0, (DROP_TEXT, UNCOND)),
    ],
)
def test_a_branch_that_counts_for_nothing_is_not_computed(
    text: float, speech: float, branches: tuple[Branch, ...]
) -> None:
    """Where a coefficient is exactly zero its branch is left out."""
    assert Guidance(text_scale=text, speech_scale=speech).branches == branches


@pytest.mark.parametrize(("text", "branches"), [(1.0, 2), (4.0, 3)])
def test_projected_guidance_needs_every_branch(text: float, branches: int) -> None:
    """Projection looks at differences, so no branch may be left out."""
    assert len(Guidance(text_scale=text, speech_scale=text, apg=True).branches) == branches


@given(text=st.floats(0, 20), speech=st.floats(0, 20))
def test_the_combination_is_the_published_formula(text: float, speech: float) -> None:
    """Leaving out branches of weight zero changes nothing."""
    guidance = Guidance(text_scale=text, speech_scale=speech)
    velocity = {branch: torch.randn(4, generator=_seeded(i)) for i, branch in enumerate(Branch)}
    c, t, u, a = (velocity[branch] for branch in Branch)
    two = a + speech * (c - a)
    three = u + text * (c - t) + speech * (t - u)
    expected = two if DROP_AUDIO in guidance.coefficients else three
    computed = {branch: velocity[branch] for branch in guidance.branches}
    torch.testing.assert_close(Guide(guidance).combine(computed), expected, rtol=1e-4, atol=1e-4)


def test_projected_guidance_leaves_only_what_is_across_the_prediction() -> None:
    """With both pulls the correction is orthogonal to the conditional prediction."""
    guidance = Guidance(text_scale=5.0, speech_scale=4.0, apg=True)
    velocity = {
        branch: torch.randn(16, 3, 4, generator=_seeded(i)) for i, branch in enumerate(Branch)
    }
    guided = Guide(guidance).combine({b: velocity[b] for b in guidance.branches})
    correction = (guided - velocity[COND]).double()
    along = (correction * velocity[COND].double()).sum() / correction.norm()
    assert correction.norm() > 1
    assert abs(along) < 1e-5


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
