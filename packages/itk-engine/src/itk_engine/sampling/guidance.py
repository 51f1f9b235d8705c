"""How the predictions of several branches become one velocity."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field, frozen

from .apg import ProjectedGuidance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class Branch(StrEnum):
    """One prediction: with or without the prompt, with or without the speech."""

    COND = "cond"
    DROP_TEXT = "drop_text"  # negative prompt, same speech
    UNCOND = "uncond"  # negative prompt, no speech
    DROP_AUDIO = "drop_audio"  # same prompt, no speech

    @property
    def negative(self) -> bool:
        """Whether the branch sees the negative prompt."""
        return self in {Branch.DROP_TEXT, Branch.UNCOND}

    @property
    def silent(self) -> bool:
        """Whether the branch hears nothing."""
        return self in {Branch.UNCOND, Branch.DROP_AUDIO}


@frozen(kw_only=True)
class Guidance:
    """How strongly prompt and speech pull, and by which rule.

    With g_t the text scale and g_a the speech scale, the velocity is
    v_uncond + g_t·(v_cond - v_drop_text) + g_a·(v_drop_text - v_uncond), or, where g_t is 1,
    v_drop_audio + g_a·(v_cond - v_drop_audio). `apg` replaces both by adaptive projected
    guidance with this momentum and norm threshold.
    """

    text_scale: float
    speech_scale: float
    apg: bool = False
    apg_momentum: float = -0.75
    apg_norm_threshold: float = 55.0
    compute_unused: bool = field(default=False)  # compute branches whose coefficient is zero

    @property
    def coefficients(self) -> dict[Branch, float]:
        """Return what each branch counts, in the order in which branches are computed."""
        text, speech = self.text_scale, self.speech_scale
        if math.isclose(text, 1.0):
            return {Branch.COND: speech, Branch.DROP_AUDIO: 1 - speech}
        return {Branch.COND: text, Branch.DROP_TEXT: speech - text, Branch.UNCOND: 1 - speech}

    @property
    def branches(self) -> tuple[Branch, ...]:
        """Return the branches to compute: those that count for something.

        Projected guidance looks at differences of branches and needs them all.
        """
        every = self.apg or self.compute_unused
        return tuple(branch for branch, weight in self.coefficients.items() if every or weight)


class Guide:
    """Combines the branches of one chunk; projected guidance remembers earlier steps."""

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self._text = _projected(guidance)
        self._speech = _projected(guidance)

    def combine(self, velocity: Mapping[Branch, Tensor]) -> Tensor:
        """Return the guided velocity of one step."""
        if self._guidance.apg:
            return self._project(velocity)
        parts = [
            velocity[branch] * weight
            for branch, weight in self._guidance.coefficients.items()
            if branch in velocity
        ]
        return sum(parts[1:], start=parts[0])

    def _project(self, velocity: Mapping[Branch, Tensor]) -> Tensor:
        cond = velocity[Branch.COND]
        speech_pull = self._guidance.speech_scale - 1
        if Branch.DROP_AUDIO in velocity:
            return cond + speech_pull * self._speech(cond - velocity[Branch.DROP_AUDIO], cond)
        drop_text = velocity[Branch.DROP_TEXT]
        text_part = self._text(cond - drop_text, cond)
        speech_part = self._speech(drop_text - velocity[Branch.UNCOND], cond)
        return cond + (self._guidance.text_scale - 1) * text_part + speech_pull * speech_part


def _projected(guidance: Guidance) -> ProjectedGuidance:
    return ProjectedGuidance(
        momentum=guidance.apg_momentum, norm_threshold=guidance.apg_norm_threshold
    )
