"""The fused kernels compute what the plain functions say."""

import pytest
import torch

from itk_engine.ops import fused
from itk_engine.ops.norms import (
    add_gated,
    add_then_modulate,
    add_then_norm,
    modulate,
    rms_norm,
)
from itk_engine.ops.rope import grid_rotation, line_rotation, rotate

pytest.importorskip("triton", reason="Triton is not built for this platform")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HEADS, HEAD_WIDTH, GRID, BATCH = 4, 12, (1, 2, 3), 2
WIDTH, TOKENS = HEADS * HEAD_WIDTH, 6
# Relative; the interpreter cuts float32 off where a GPU rounds it to bfloat16.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2 if DEVICE == "cuda" else 6e-2}


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def x(request: pytest.FixtureRequest) -> torch.Tensor:
    """Some tokens."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(BATCH, TOKENS, WIDTH, generator=generator).to(DEVICE, request.param)


def _same(came: torch.Tensor, needed: torch.Tensor, dtype: torch.dtype) -> None:
    assert came.shape == needed.shape
    assert came.dtype == needed.dtype
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(came.float(), needed.float(), rtol=tolerance, atol=tolerance)


def _signal(batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, 6, WIDTH, generator=generator).to(DEVICE)[:, 1:2]


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, BATCH])
def test_modulation(x: torch.Tensor, batch: int) -> None:
    """Layer norm, scale and shift in one pass equal the three, also one signal for a batch."""
    shift, scale = _signal(batch), _signal(batch).flip(-1)
    came = fused.modulate(x, shift, scale, eps=1e-6, dtype=torch.float32)
    _same(came, modulate(x, shift, scale, eps=1e-6).float(), x.dtype)


@torch.no_grad()
def test_gated_addition(x: torch.Tensor) -> None:
    """Product and sum are taken in float32 and rounded once."""
    came = fused.add_gated(x, x.flip(0), _signal(1))
    _same(came, add_gated(x, x.flip(0), _signal(1)), x.dtype)


@torch.no_grad()
def test_norm_and_rotation(x: torch.Tensor) -> None:
    """Normalising the whole width and turning every head equal the two steps apart."""
    weight = torch.randn(WIDTH).to(x)
    rotation = grid_rotation(GRID, HEAD_WIDTH, DEVICE)
    normed = rms_norm(x, weight, 1e-6).unflatten(-1, (HEADS, -1))
    together = fused.norm_rotate(x, heads=HEADS, weight_D=weight, eps=1e-6, rotation=rotation)
    _same(together, rotate(normed, rotation), x.dtype)
    _same(fused.norm_rotate(x, heads=HEADS, weight_D=weight, eps=1e-6), normed, x.dtype)


@torch.no_grad()
def test_rotation_by_each_tokens_own_position(x: torch.Tensor) -> None:
    """A table for each batch entry turns that entry's tokens."""
    positions = torch.rand(BATCH, TOKENS).to(DEVICE) * 24
    rotation = line_rotation(positions, HEAD_WIDTH)
    came = fused.norm_rotate(x, heads=HEADS, rotation=rotation)
    _same(came, rotate(x.unflatten(-1, (HEADS, -1)), rotation), x.dtype)


@torch.no_grad()
@pytest.mark.parametrize("gated", [False, True])
def test_addition_and_the_norm_after_it(x: torch.Tensor, *, gated: bool) -> None:
    """The sum is rounded once, and its norm is that of the rounded sum."""
    norm = torch.nn.LayerNorm(WIDTH, eps=1e-6).to(x)
    norm.weight.normal_()
    norm.bias.normal_()
    gate = _signal(1) if gated else None
    came = fused.add_norm(x, x.flip(0), weight=norm.weight, bias=norm.bias, eps=1e-6, gate_B1D=gate)
    for part, needed in zip(came, add_then_norm(x, x.flip(0), norm, gate_B1D=gate), strict=True):
        _same(part, needed, x.dtype)


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, BATCH])
def test_addition_and_the_modulation_after_it(x: torch.Tensor, batch: int) -> None:
    """The sum is modulated as `modulate` does it."""
    shift, scale = _signal(batch), _signal(batch).flip(-1)
    came = fused.add_norm(x, x.flip(0), weight=scale, bias=shift, eps=1e-6, modulated=True)
    needed = add_then_modulate(x, x.flip(0), shift_B1D=shift, scale_B1D=scale, eps=1e-6)
    for part, wanted in zip(came, needed, strict=True):
        _same(part, wanted, x.dtype)


@torch.no_grad()
@pytest.mark.parametrize("channels", [16, 24, 96])
def test_short_rows_are_normalised_and_activated_many_at_once(channels: int) -> None:
    """Root mean square, weight and SiLU of rows whose number divides by nothing."""
    pixels = torch.randn(1, 3, 7, 11, channels).to(DEVICE)
    weight = torch.randn(channels).to(DEVICE)
    needed = torch.nn.functional.silu(
        torch.nn.functional.rms_norm(pixels, (channels,), weight, 1e-24)
    )
    _same(fused.norm_silu(pixels, weight, 1e-24), needed, torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_gelu_leaves_the_matrix_units_with_the_product() -> None:
    """The product's own GELU is the tanh form."""
    linear = torch.nn.Linear(64, 96).to("cuda", torch.bfloat16)
    x = torch.randn(2, 33, 64, device="cuda", dtype=torch.bfloat16)
    needed = torch.nn.functional.gelu(linear(x).float(), approximate="tanh")
    came = fused.gelu_linear(x, linear.weight, linear.bias)
    assert (came.float() - needed).norm() / needed.norm() < 5e-3


def test_gradients_and_the_cpu_take_the_plain_way() -> None:
    """The kernels are for inference on CUDA."""
    assert not fused.fits(torch.zeros(2, 3))
    if torch.cuda.is_available():
        with torch.enable_grad():
            assert not fused.fits(torch.zeros(2, 3, device="cuda"))
