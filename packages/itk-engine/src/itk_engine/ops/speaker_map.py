"""Says which speaker each token belongs to, by what it attends to in the first frame."""

# B batch, L tokens, R tokens of the first latent frame, N heads, H head width, K classes
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .rope import line_rotation

if TYPE_CHECKING:
    from torch import Tensor

    from .attention import Attend
    from .rope import Rotation

# Positions on the axis that separates the speakers: each speaker's tokens lie in their own
# range, their speech at a fixed place, the background between them.
FIRST_RANGE = (0.0, 4.0)
SECOND_RANGE = (20.0, 24.0)
BACKGROUND = 12.0
SPEECH_POSITIONS = (2.0, 22.0)


def speaker_map(q_BLNH: Tensor, k_BLNH: Tensor, regions_BKR: Tensor, *, attend: Attend) -> Tensor:
    """Return [B, K, L]: how much each token attends to each region of the first frame.

    Softmax(q·k_refᵀ) summed over a region's reference tokens, divided by the region's size,
    averaged over the heads. It is computed as an attention whose value is the K region masks
    (as columns, padded to the head width), so the [heads, L, R] map never exists. With an odd
    number of heads the last one is left out, as in the published model. A region without
    tokens gets -inf: it never wins.
    """
    references = regions_BKR.shape[-1]
    heads = q_BLNH.shape[2] // 2 * 2
    columns = functional.pad(
        regions_BKR.transpose(1, 2), (0, q_BLNH.shape[-1] - regions_BKR.shape[1])
    )
    values = columns.to(q_BLNH.dtype).unsqueeze(2).expand(-1, -1, heads, -1)
    sums_BLNH = attend(q_BLNH[:, :, :heads], k_BLNH[:, :references, :heads], values)
    sums_BLK = sums_BLNH[..., : regions_BKR.shape[1]].float().mean(dim=2)
    sizes_BK1 = regions_BKR.float().sum(dim=-1, keepdim=True)
    means = sums_BLK.transpose(1, 2) / sizes_BK1.clamp_min(1)
    return means.masked_fill(sizes_BK1 == 0, -torch.inf)


def speaker_positions(map_BKL: Tensor, extremes: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return [B, L] positions from a map of two speakers and the background.

    A speaker's tokens are spread over the speaker's range by their map value between its
    minimum and maximum; the class of a token is the region it attends to most. `extremes`
    gives minimum and maximum [B, K, 1] over all tokens where the map holds only some of them.
    """
    low, high = extremes or (map_BKL.amin(-1, keepdim=True), map_BKL.amax(-1, keepdim=True))
    share = (map_BKL - low) / (high - low + 1e-8)
    first, second = (
        share[:, row] * (end - start) + start
        for row, (start, end) in enumerate((FIRST_RANGE, SECOND_RANGE))
    )
    winner = map_BKL.argmax(dim=1)
    background = torch.full_like(first, BACKGROUND)
    return torch.where(winner == 0, first, torch.where(winner == 1, second, background))


@cache
def speech_rotation(tokens: int, head_width: int, device: torch.device) -> Rotation:
    """Return cos and sin [2·tokens, C] of the speakers' speech tokens, kept for each device."""
    with torch.inference_mode(mode=False):  # so that training may use it as well
        places = torch.tensor(SPEECH_POSITIONS, device=device).repeat_interleave(tokens)
        return line_rotation(places, head_width)
