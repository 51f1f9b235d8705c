"""A whole engine on quantised files, in the layout in which they are published."""

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from itk_engine import (
    CheckpointFiles,
    Engine,
    GenerationRequest,
    Lora,
    MissingWeightsError,
    UnsupportedFeatureError,
    WeightsMismatchError,
)
from itk_engine.tiny import TINY_SIZES, TinyModels, write_checkpoint

SMALLEST = attrs.evolve(
    TINY_SIZES,
    dit=attrs.evolve(TINY_SIZES.dit, dim=48, ffn_dim=64, num_heads=2, num_layers=2, freq_dim=16),
    vae=attrs.evolve(TINY_SIZES.vae, base_width=2),
)
KINDS = {
    "int8": ("qint8", torch.int8, 127.0),
    "fp8": ("qfloat8_e4m3fn", torch.float8_e4m3fn, 448.0),
}


@pytest.fixture(scope="module")
def models() -> TinyModels:
    """Give models of a few dimensions."""
    return TinyModels.random(SMALLEST)


@pytest.fixture(scope="module")
def plain(models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> CheckpointFiles:
    """Give them as a plain checkpoint."""
    return write_checkpoint(tmp_path_factory.mktemp("plain"), models, dtype=torch.float32)


@pytest.fixture(params=["int8", "fp8"])
def quantised(
    request: pytest.FixtureRequest, plain: CheckpointFiles, models: TinyModels, tmp_path: Path
) -> CheckpointFiles:
    """Give them with transformer and text encoder as quanto writes them: every linear layer."""
    name = request.param
    file = tmp_path / f"infinitetalk_single_{name}.safetensors"
    write(models.dit, file, file.with_suffix(".json"), name)
    write(models.text, tmp_path / f"t5_{name}.safetensors", tmp_path / f"t5_map_{name}.json", name)
    return attrs.evolve(plain, quantised=file, adapter=None)


def write(model: nn.Module, file: Path, table: Path, kind: str) -> None:
    """Write a model's linear layers as data, scale and two unused scalars, the rest as it is."""
    named, stored_as, largest = KINDS[kind]
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    state = dict(model.state_dict())
    for name in linears:
        weight = state.pop(f"{name}.weight").float()
        scale = (weight.abs().amax(1, keepdim=True) / largest).clamp_min(1e-12).bfloat16()
        data = weight / scale.float()
        data = data.round().clamp(-127, 127) if stored_as == torch.int8 else data.clamp(-448, 448)
        state[f"{name}.weight._data"] = data.to(stored_as)
        state[f"{name}.weight._scale"] = scale
        state[f"{name}.input_scale"] = state[f"{name}.output_scale"] = torch.ones(())
    save_file({name: value.clone().contiguous() for name, value in state.items()}, file)
    table.write_text(
        json.dumps({name: {"weights": named, "activations": "none"} for name in linears}),
        encoding="utf-8",
    )


def video_of(files: CheckpointFiles, request: GenerationRequest) -> tuple[np.ndarray, str]:
    """Return the video that a checkpoint makes, and the precision that it says it has."""
    with Engine.load(files) as engine:
        chunks = [chunk.frames for chunk in engine.generate(request)]
        return np.concatenate(chunks).astype(np.float32), engine.model_info.precision


def test_a_quantised_checkpoint_makes_nearly_the_same_video(
    plain: CheckpointFiles,
    quantised: CheckpointFiles,
    request_of: Callable[..., GenerationRequest],
) -> None:
    """One and two speakers; neither shards nor adapter are read."""
    assert quantised.quantised is not None
    for speakers in (1, 2):
        request = request_of(seconds=0.4, speakers=speakers)
        exact, _ = video_of(plain, request)
        near, precision = video_of(quantised, request)
        other, _ = video_of(plain, attrs.evolve(request, seed=8))
        assert precision in quantised.quantised.name
        assert near.shape == exact.shape
        assert 0 < np.abs(near - exact).mean() < 0.5 * np.abs(other - exact).mean()


def test_its_plan_counts_what_it_takes(
    plain: CheckpointFiles,
    quantised: CheckpointFiles,
    request_of: Callable[..., GenerationRequest],
) -> None:
    """Streamed blocks take the bytes that are stored, not those that they compute with."""
    streamed: list[int] = []
    for files in (plain, quantised):
        with Engine.load(files) as engine:
            engine.prepare(request_of(num_persistent_param_in_dit=0))
            assert engine.plan is not None
            streamed.append(engine.plan.streamed_bytes_per_forward)
            assert ("came quantised" in str(engine.plan)) == (files is quantised)
            weights = engine._models.dit.blocks.parameters()
            assert streamed[-1] == sum(each.numel() * each.element_size() for each in weights)
    assert streamed[1] < 0.5 * streamed[0]


def test_what_is_missing_of_it_is_named(quantised: CheckpointFiles, tmp_path: Path) -> None:
    """The file, its map, or a tensor that the map promises; and no LoRA can be merged."""
    file = quantised.quantised
    assert file is not None
    with pytest.raises(UnsupportedFeatureError, match="quantised file cannot take a LoRA"):
        Engine.load(attrs.evolve(quantised, loras=(Lora(path=tmp_path / "x.safetensors"),)))
    nowhere = tmp_path / "nowhere.safetensors"
    with pytest.raises(MissingWeightsError, match=r"QUANT_DIR.*nowhere"):
        Engine.load(attrs.evolve(quantised, quantised=nowhere))
    table = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    table.pop("head.head")
    file.with_suffix(".json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(WeightsMismatchError, match=r"head\.head\.weight"):
        Engine.load(quantised)
    file.with_suffix(".json").unlink()
    with pytest.raises(MissingWeightsError, match=r"map of quantised.*\.json"):
        Engine.load(quantised)
