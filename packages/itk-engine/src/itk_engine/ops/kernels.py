"""Triton kernels that read a row of tokens once where PyTorch would read it several times."""

# ruff: noqa: ANN001, ANN201, PLR0913, PLR0917  Triton types its arguments itself
# pyrefly: ignore-errors
# A row is one token of `width` values. Statistics and arithmetic are in float32; where the
# plain functions round in between, so do these.
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def modulate_rows(
    x_ptr,
    shift_ptr,
    scale_ptr,
    out_ptr,
    length,
    width,
    shift_stride,
    scale_stride,
    eps,
    BLOCK: tl.constexpr,
):
    """Layer-normalise a row without weights, then multiply by 1 + scale and add shift."""
    row = tl.program_id(0).to(tl.int64)
    batch = row // length
    column = tl.arange(0, BLOCK)
    inside = column < width
    x_stored = tl.load(x_ptr + row * width + column, mask=inside, other=0.0)
    x = x_stored.to(tl.float32)
    mean = tl.sum(x, axis=0) / width
    centred = tl.where(inside, x - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / width
    normed = (centred * tl.rsqrt(variance + eps)).to(x_stored.dtype).to(tl.float32)
    shift = tl.load(shift_ptr + batch * shift_stride + column, mask=inside, other=0.0)
    scale = tl.load(scale_ptr + batch * scale_stride + column, mask=inside, other=0.0)
    moved = normed * (1.0 + scale) + shift
    tl.store(out_ptr + row * width + column, moved, mask=inside)


@triton.jit
def add_gated_rows(
    x_ptr, update_ptr, gate_ptr, out_ptr, length, width, gate_stride, BLOCK: tl.constexpr
):
    """Add a row of update times gate to a row."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    x = tl.load(x_ptr + row * width + column, mask=inside, other=0.0).to(tl.float32)
    update = tl.load(update_ptr + row * width + column, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(gate_ptr + row // length * gate_stride + column, mask=inside, other=0.0)
    tl.store(out_ptr + row * width + column, x + update * gate, mask=inside)


@triton.jit
def norm_rotate_rows(
    x_ptr,
    weight_ptr,
    cos_ptr,
    sin_ptr,
    out_ptr,
    length,
    width,
    pairs,
    turn_stride,
    eps,
    NORM: tl.constexpr,
    ROTATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Divide a row by its root mean square and weigh it, then turn adjacent pairs by an angle.

    `pairs` angles of a token serve all its heads; tables are [length, pairs] per batch entry,
    `turn_stride` values apart (0: one table for all).
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    x_stored = tl.load(x_ptr + row * width + column, mask=inside, other=0.0)
    x = x_stored.to(tl.float32)
    if NORM:
        inverse = tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
        weight = tl.load(weight_ptr + column, mask=inside, other=0.0).to(tl.float32)
        normed = (x * inverse).to(x_stored.dtype).to(tl.float32)
        x = (normed * weight).to(x_stored.dtype).to(tl.float32)
    if ROTATE:
        pair = tl.arange(0, BLOCK // 2)
        turn = row // length * turn_stride + row % length * pairs + pair % pairs
        cos = tl.load(cos_ptr + turn, mask=pair < width // 2, other=0.0)
        sin = tl.load(sin_ptr + turn, mask=pair < width // 2, other=0.0)
        even, odd = tl.split(tl.reshape(x, (BLOCK // 2, 2)))
        x = tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (BLOCK,))
    tl.store(out_ptr + row * width + column, x, mask=inside)


@triton.jit
def add_norm_rows(
    x_ptr,
    update_ptr,
    gate_ptr,
    weight_ptr,
    bias_ptr,
    sum_ptr,
    out_ptr,
    length,
    width,
    gate_stride,
    weight_stride,
    bias_stride,
    eps,
    GATED: tl.constexpr,
    MODULATED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add an update (times a gate) to a row, store the sum, and layer-normalise the sum.

    MODULATED: the normalised row is rounded, then multiplied by 1 + weight and bias is added,
    both from the batch entry's time signal; else they are the norm's own weight and bias.
    """
    row = tl.program_id(0).to(tl.int64)
    batch = row // length
    column = tl.arange(0, BLOCK)
    inside = column < width
    x_stored = tl.load(x_ptr + row * width + column, mask=inside, other=0.0)
    update = tl.load(update_ptr + row * width + column, mask=inside, other=0.0).to(tl.float32)
    if GATED:
        update *= tl.load(gate_ptr + batch * gate_stride + column, mask=inside, other=0.0)
    total = (x_stored.to(tl.float32) + update).to(x_stored.dtype)
    tl.store(sum_ptr + row * width + column, total, mask=inside)
    x = total.to(tl.float32)
    mean = tl.sum(x, axis=0) / width
    centred = tl.where(inside, x - mean, 0.0)
    normed = centred * tl.rsqrt(tl.sum(centred * centred, axis=0) / width + eps)
    weight = tl.load(weight_ptr + batch * weight_stride + column, mask=inside, other=0.0)
    bias = tl.load(bias_ptr + batch * bias_stride + column, mask=inside, other=0.0)
    if MODULATED:
        normed = normed.to(x_stored.dtype).to(tl.float32)
        weight = 1.0 + weight
    moved = normed * weight.to(tl.float32) + bias.to(tl.float32)
    tl.store(out_ptr + row * width + column, moved, mask=inside)


@triton.jit
def norm_silu_rows(
    x_ptr, weight_ptr, out_ptr, rows, width, eps, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Divide short rows by their root mean square, weigh them and take SiLU of the result."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    inside = (row < rows) & (column < width)
    x = tl.load(x_ptr + row * width + column, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(x * x, axis=1) / width + eps)[:, None]
    weight = tl.load(weight_ptr + column, mask=column < width, other=0.0).to(tl.float32)
    normed = x * inverse * weight
    tl.store(out_ptr + row * width + column, normed / (1.0 + tl.exp(-normed)), mask=inside)


@triton.jit
def quantise_rows_kernel(x_ptr, out_ptr, scale_ptr, width, limit, BLOCK: tl.constexpr):
    """Scale a row so that its largest value is `limit`, and store row and scale."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    x = tl.load(x_ptr + row * width + column, mask=inside, other=0.0).to(tl.float32)
    largest = tl.maximum(tl.max(tl.abs(x), axis=0), 1e-12)
    tl.store(scale_ptr + row, largest / limit)
    tl.store(out_ptr + row * width + column, x * (limit / largest), mask=inside)
