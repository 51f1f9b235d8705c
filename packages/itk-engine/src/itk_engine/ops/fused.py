"""One kernel each for the small operations between a block's matrix products.

Every function here equals a plain one in `norms` or `rope`, which says what it computes and
calls it where `fits` holds. Between them the plain versions would move each token through
memory about forty times a block.
"""

# B batch, L tokens, D width, N heads, H head width
from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor


FP8_LIMIT = 448.0  # the largest number of float8_e4m3fn
_WIDEST_ROW = 32768  # wider rows would spill registers


def fits(x: Tensor) -> bool:
    """Whether the fused kernels serve this tensor: on CUDA, no gradients, rows not too wide."""
    return (
        x.is_cuda
        and x.shape[-1] <= _WIDEST_ROW
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and _triton_is_installed()
    )


def modulate(
    x_BLD: Tensor, shift_B1D: Tensor, scale_B1D: Tensor, *, eps: float, dtype: torch.dtype
) -> Tensor:
    """Layer-normalise x and move it by shift and scale (float32); the result is in `dtype`."""
    x = x_BLD.contiguous()
    out = torch.empty_like(x, dtype=dtype)
    batch, length, width = x.shape
    shift, scale = shift_B1D.expand(batch, 1, width), scale_B1D.expand(batch, 1, width)
    _launch(
        "modulate_rows",
        x,
        (x, shift, scale, out, length, width, shift.stride(0), scale.stride(0), eps),
    )
    return out


def add_gated(x_BLD: Tensor, update_BLD: Tensor, gate_B1D: Tensor) -> Tensor:
    """Return x + update·gate in x's dtype, computed in the gate's float32."""
    x, update = x_BLD.contiguous(), update_BLD.contiguous()
    out = torch.empty_like(x)
    batch, length, width = x.shape
    gate = gate_B1D.expand(batch, 1, width)
    _launch("add_gated_rows", x, (x, update, gate, out, length, width, gate.stride(0)))
    return out


def norm_rotate(
    x_BLD: Tensor,
    *,
    heads: int,
    weight_D: Tensor | None = None,
    eps: float = 0.0,
    rotation: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """RMS-normalise over the whole width, then turn each head's pairs; [B, L, N, H].

    Without a weight nothing is normalised, without a rotation nothing is turned.
    """
    x = x_BLD.contiguous()
    out = torch.empty_like(x)
    _, length, width = x.shape
    cos, sin = (x, x) if rotation is None else (part.contiguous() for part in rotation)
    pairs = 1 if rotation is None else cos.shape[-1]
    per_batch = length * pairs if cos.ndim == 3 and rotation is not None else 0
    arguments = (x, x if weight_D is None else weight_D, cos, sin, out, length, width, pairs)
    _launch(
        "norm_rotate_rows",
        x,
        (*arguments, per_batch, eps),
        NORM=weight_D is not None,
        ROTATE=rotation is not None,
    )
    return out.unflatten(-1, (heads, -1))


def add_norm(
    x_BLD: Tensor,
    update_BLD: Tensor,
    *,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    gate_B1D: Tensor | None = None,
    modulated: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return x + update (times the gate), and its layer norm, both in x's dtype.

    `weight` and `bias` are the norm's own [D] or, `modulated`, the time's scale and shift
    [B, 1, D], of which the scale counts as 1 + scale.
    """
    x, update = x_BLD.contiguous(), update_BLD.contiguous()
    total, out = torch.empty_like(x), torch.empty_like(x)
    batch, length, width = x.shape
    gate = weight if gate_B1D is None else gate_B1D.expand(batch, 1, width)
    if modulated:
        weight, bias = weight.expand(batch, 1, width), bias.expand(batch, 1, width)
    strides = [part.stride(0) if part.ndim == 3 else 0 for part in (gate, weight, bias)]
    _launch(
        "add_norm_rows",
        x,
        (x, update, gate, weight, bias, total, out, length, width, *strides, eps),
        GATED=gate_B1D is not None,
        MODULATED=modulated,
    )
    return total, out


def gelu_linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
    """Return tanh-GELU of x·Wᵀ + b, the GELU taken before the product leaves the matrix units."""
    rows = x.flatten(0, -2)
    out = torch._addmm_activation(bias_O, rows, weight_OI.t(), use_gelu=True)  # noqa: SLF001
    return out.unflatten(0, x.shape[:-1])


def norm_silu(x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    """Return SiLU of the RMS norm of x's last axis, x contiguous with few channels."""
    assert x.is_contiguous()
    out = torch.empty_like(x)
    width = x.shape[-1]
    rows = x.numel() // width
    block = max(16, 1 << (width - 1).bit_length())
    at_once = max(1, 4096 // block)
    with torch.cuda.device(x.device) if x.is_cuda else torch.no_grad():
        _kernels().norm_silu_rows[(-(-rows // at_once),)](
            x, weight_C, out, rows, width, eps, ROWS=at_once, BLOCK=block, num_warps=4
        )
    return out


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x [rows, width] as float8_e4m3fn and the scale [rows, 1] that undoes it."""
    x = x.contiguous()
    out = torch.empty_like(x, dtype=torch.float8_e4m3fn)
    scale = torch.empty(x.shape[0], 1, dtype=torch.float32, device=x.device)
    _launch("quantise_rows_kernel", x, (x, out, scale, x.shape[1], FP8_LIMIT))
    return out, scale


def _launch(name: str, x: Tensor, arguments: tuple[Any, ...], **choices: bool) -> None:
    rows, width = x.numel() // x.shape[-1], x.shape[-1]
    block = max(16, 1 << (width - 1).bit_length())
    kernel = getattr(_kernels(), name)
    warps = 4 if block <= 2048 else 8 if block <= 8192 else 16
    with torch.cuda.device(x.device) if x.is_cuda else torch.no_grad():
        kernel[(rows,)](*arguments, **choices, BLOCK=block, num_warps=warps)


@cache
def _triton_is_installed() -> bool:
    return find_spec("triton") is not None


@cache
def _kernels() -> ModuleType:
    from . import kernels

    return kernels
