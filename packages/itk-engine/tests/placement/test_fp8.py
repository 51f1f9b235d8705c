"""Weights quantised at load stay near the exact ones."""

import pytest
import torch
from torch import nn

from itk_engine.ops.fp8 import Fp8Linear, merge_fidelity, quantise_linears, quantise_rows


def _model() -> nn.Module:
    block = nn.Module()
    block.ffn = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
    block.audio_cross_attn = nn.ModuleDict({"kv_linear": nn.Linear(32, 64)})
    block.odd = nn.Linear(30, 20)
    return block


@torch.no_grad()
def test_each_row_uses_the_whole_range() -> None:
    """Rows of any size lose the same relative precision; a row of zeros stays zero."""
    x = torch.randn(5, 64) * torch.tensor([[1e-4], [1.0], [1e4], [37.0], [0.0]])
    rows, scale = quantise_rows(x)
    assert rows.dtype == torch.float8_e4m3fn
    back = rows.float() * scale
    assert (back - x).norm(dim=1)[:4].div(x.norm(dim=1)[:4]).max() < 0.04
    assert torch.equal(back[4], x[4])
    assert rows.float().abs().amax(dim=1)[:4].eq(448).all()


@torch.no_grad()
def test_a_quantised_layer_stays_near_the_exact_one() -> None:
    """The product differs by a few percent, bias and leading axes kept."""
    linear = nn.Linear(64, 48)
    quantised = Fp8Linear.of(linear)
    x = torch.randn(2, 3, 64)
    came, needed = quantised(x), linear(x)
    assert came.shape == needed.shape
    assert (came - needed).norm() / needed.norm() < 0.05
    assert quantised.weight.element_size() == 1


@torch.no_grad()
def test_sensitive_layers_stay_exact_and_the_rest_is_reported() -> None:
    """Speech projections and layers of odd sizes are left alone; the report names the worst."""
    model = _model()
    fidelity = quantise_linears(model, prefix="blocks.7")
    assert isinstance(model.audio_cross_attn["kv_linear"], nn.Linear)
    assert isinstance(model.odd, nn.Linear)
    assert isinstance(model.ffn[0], Fp8Linear)
    assert fidelity.layers == 2
    assert fidelity.worst_layer in {"blocks.7.ffn.0", "blocks.7.ffn.2"}
    assert 0 < fidelity.mean <= fidelity.worst < 0.05
    assert "2 linear layers at float8" in str(fidelity)
    joined = merge_fidelity([fidelity, quantise_linears(nn.Module()), fidelity])
    assert (joined.layers, joined.worst) == (4, fidelity.worst)
    assert joined.mean == pytest.approx(fidelity.mean)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_the_matrix_units_agree_with_the_plain_product() -> None:
    """Quantised input and weights on the GPU give the dequantised product within a percent."""
    linear = nn.Linear(256, 128).to("cuda", torch.bfloat16)
    quantised = Fp8Linear.of(linear)
    x = torch.randn(77, 256, device="cuda", dtype=torch.bfloat16)
    rows, scale = quantise_rows(x)
    needed = nn.functional.linear(
        rows.float() * scale, quantised.dequantised(torch.float32), linear.bias.float()
    )
    assert (quantised(x).float() - needed).norm() / needed.norm() < 0.01
