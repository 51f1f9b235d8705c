"""Hears long speech in bounded memory: convolutions in blocks, attention in stretches.

Attention over all of a speech would need memory and time that grow with the square of its length.
The convolutions before it look at 25 ms each; cut into blocks they are what they are over the
whole, once the one norm that averages over all of time has its averages from all of it.
"""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING, cast

import torch
from attrs import frozen
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .wav2vec import FeatureExtractor, WaveConv

FRAMES_PER_SECOND = 25
_BLOCK_SAMPLES = 16_000 * 30


@frozen(kw_only=True)
class Stretches:
    """How the transformer hears a speech: beyond `whole_seconds` in overlapping stretches.

    All are `seconds` long and spread evenly, overlapping by `overlap_seconds` at least, so that
    the last one hears as much around it as the others.
    """

    whole_seconds: float = 120
    seconds: float = 60
    overlap_seconds: float = 8

    def of(self, frames: int) -> list[tuple[int, int]]:
        """Return first frame and end of each stretch of a speech of so many frames."""
        length = min(round(self.seconds * FRAMES_PER_SECOND), frames)
        overlap = round(self.overlap_seconds * FRAMES_PER_SECOND)
        steps = ceil((frames - length) / (length - overlap)) if frames > length else 0
        starts = [round((frames - length) * step / max(steps, 1)) for step in range(steps + 1)]
        return [(start, start + length) for start in starts]


def convolve_in_blocks(
    extractor: FeatureExtractor, speech: Tensor, *, block_samples: int = _BLOCK_SAMPLES
) -> Tensor:
    """Return what the extractor makes of a whole speech [N], [1, C, steps], a block at a time."""
    layers = cast("list[WaveConv]", list(extractor.conv_layers))
    moments = _moments(layers[0], speech, block_samples)
    blocks = [
        extractor(block[None, None], moments) for block in _blocks(layers, speech, block_samples)
    ]
    return torch.cat(blocks, dim=2)


def _moments(first: WaveConv, speech: Tensor, block_samples: int) -> tuple[Tensor, Tensor] | None:
    """Return mean and variance [C] over all of time of what the first layer normalises."""
    if not isinstance(first.layer_norm, nn.GroupNorm):
        return None
    count = 0
    total = squares = torch.zeros((), dtype=torch.float64)
    for block in _blocks([first], speech, block_samples):
        steps = first.conv(block[None, None])[0].double()
        count += steps.shape[1]
        total = total.to(steps.device) + steps.sum(1)
        squares = squares.to(steps.device) + steps.square().sum(1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0)
    return mean.to(speech.dtype), variance.to(speech.dtype)


def _blocks(layers: list[WaveConv], speech: Tensor, block_samples: int) -> Iterator[Tensor]:
    """Cut a speech [N] so that what the layers make of the parts joins without a seam."""
    strides = [layer.conv.stride[0] for layer in layers]
    reach = 1 + sum(
        (layer.conv.kernel_size[0] - 1) * prod(strides[:place])
        for place, layer in enumerate(layers)
    )
    stride = prod(strides)
    steps = (len(speech) - reach) // stride + 1
    at_once = max(1, block_samples // stride)
    for start in range(0, steps, at_once):
        stop = min(start + at_once, steps)
        yield speech[start * stride : (stop - 1) * stride + reach]
