"""Linear layers whose product is taken in float32 whatever their weights are stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from torch import nn


def linear_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear layer in float32, its weights upcast for the moment.

    The layer may be quantised, as long as `weight` gives the weights as a tensor.
    """
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert bias is None or isinstance(bias, Tensor)
    return functional.linear(x.float(), weight.float(), None if bias is None else bias.float())
