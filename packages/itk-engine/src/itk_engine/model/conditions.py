"""What a chunk's prediction depends on besides the latent and the time."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from itk_engine.ops.rope import Rotation


@frozen(kw_only=True, eq=False)
class Conditions:
    """Everything that stays the same over the steps of one branch of one chunk.

    Shapes: `text` [B, text_len, D], `clip` [B, 257, D], `speech` [B, T, P, K, C] tokens,
    `picture` [B, 20, T, h, w] (4 mask channels and the picture's latent), `regions`
    [B, 3, R] zeros and ones over the first frame's tokens (None for one speaker),
    `rotation` cos and sin [L, head_width / 2] in float32.
    """

    text: Tensor
    clip: Tensor
    speech: Tensor
    picture: Tensor
    regions: Tensor | None
    rotation: Rotation


@frozen(kw_only=True, eq=False)
class TimeSignal:
    """A timestep as the model sees it: `embedding` [B, D] and `modulation` [B, 6, D], float32."""

    embedding: Tensor
    modulation: Tensor

    def step(self, index: int) -> TimeSignal:
        """Return one of several timesteps that were embedded together, as a batch of one."""
        return TimeSignal(
            embedding=self.embedding[index : index + 1],
            modulation=self.modulation[index : index + 1],
        )
