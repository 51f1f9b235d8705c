"""Low-rank files are merged whatever their style, and never silently ignored."""

import pytest
import torch
from safetensors.torch import save_file

from itk_engine.config import Lora
from itk_engine.errors import MissingWeightsError, WeightsMismatchError
from itk_engine.weights import LoraMerge

SHAPES = {
    "blocks.0.self_attn.q.weight": (6, 4),
    "blocks.0.self_attn.q.bias": (6,),
    "blocks.0.cross_attn.k_img.weight": (6, 4),
    "blocks.0.ffn.0.weight": (6, 4),
    "blocks.0.norm3.weight": (6,),
    "blocks.0.modulation": (1, 6, 6),
    "patch_embedding.weight": (6, 4, 1, 2, 2),
    "head.head.weight": (6, 4),
}
UP, DOWN = torch.arange(12.0).view(6, 2), torch.arange(8.0).view(2, 4)
PRODUCT = UP @ DOWN


@pytest.fixture
def lora(tmp_path):
    """Give a function that writes tensors as a LoRA file."""

    def write(tensors, name="one", **settings) -> Lora:
        path = tmp_path / f"{name}.safetensors"
        save_file({key: value.clone() for key, value in tensors.items()}, path)
        return Lora(path=path, **settings)

    return write


@pytest.mark.parametrize(
    ("layer", "down", "up", "parameter"),
    [
        ("diffusion_model.blocks.0.self_attn.q", "lora_down", "lora_up", "blocks.0.self_attn.q"),
        ("diffusion_model.blocks.0.self_attn.q", "lora_A", "lora_B", "blocks.0.self_attn.q"),
        ("transformer.blocks.0.attn1.to_q", "lora_A", "lora_B", "blocks.0.self_attn.q"),
        ("blocks.0.self_attn.q", "lora_A.default", "lora_B.default", "blocks.0.self_attn.q"),
        ("lora_unet_blocks_0_self_attn_q", "lora_down", "lora_up", "blocks.0.self_attn.q"),
        (
            "lora_unet_blocks_0_cross_attn_k_img",
            "lora_down",
            "lora_up",
            "blocks.0.cross_attn.k_img",
        ),
        ("transformer.blocks.0.attn2.add_k_proj", "lora_A", "lora_B", "blocks.0.cross_attn.k_img"),
        ("transformer.blocks.0.ffn.net.0.proj", "lora.down", "lora.up", "blocks.0.ffn.0"),
        ("transformer.proj_out", "lora_A", "lora_B", "head.head"),
    ],
)
def test_every_style_of_names_lands(lora, layer, down, up, parameter) -> None:
    """W becomes W + scale · up · down under each of the names that trainers use."""
    file = lora({f"{layer}.{down}.weight": DOWN, f"{layer}.{up}.weight": UP}, scale=0.5)
    merge = LoraMerge.read([file], SHAPES)
    changed = merge(f"{parameter}.weight", torch.ones(6, 4))
    torch.testing.assert_close(changed, 1 + 0.5 * PRODUCT)
    untouched = torch.ones(6)
    assert merge("blocks.0.norm3.weight", untouched) is untouched


def test_alpha_over_rank_scales(lora) -> None:
    """Alpha 1 with rank 2 halves the change, unless the file's alpha is to be ignored."""
    layer = "diffusion_model.blocks.0.ffn.0"
    tensors = {f"{layer}.lora_down.weight": DOWN, f"{layer}.lora_up.weight": UP}
    tensors[f"{layer}.alpha"] = torch.tensor(1.0)
    for alpha, factor in (("file", 0.5), ("ignore", 1.0)):
        merge = LoraMerge.read([lora(tensors, alpha=alpha)], SHAPES)
        torch.testing.assert_close(
            merge("blocks.0.ffn.0.weight", torch.zeros(6, 4)), factor * PRODUCT
        )


def test_differences_and_several_files_add_up(lora) -> None:
    """Diff and diff_b are added as they are; files are summed with their own scales."""
    first = lora(
        {
            "diffusion_model.blocks.0.self_attn.q.diff_b": torch.ones(6),
            "diffusion_model.blocks.0.norm3.diff": torch.ones(6),
            "diffusion_model.blocks.0.modulation.diff": torch.ones(1, 6, 6),
        },
        "first",
        scale=2.0,
    )
    second = lora({"transformer.blocks.0.norm2.diff": torch.ones(6)}, "second", scale=0.25)
    merge = LoraMerge.read([first, second], SHAPES)
    zeros = torch.zeros(6, dtype=torch.bfloat16)
    assert merge("blocks.0.self_attn.q.bias", zeros).tolist() == [2.0] * 6
    assert merge("blocks.0.norm3.weight", zeros).tolist() == [2.25] * 6
    assert merge("blocks.0.norm3.weight", zeros).dtype == torch.bfloat16
    assert merge("blocks.0.modulation", torch.zeros(1, 6, 6)).sum() == 72


def test_modulations_of_distilled_files_land(lora) -> None:
    """LightX2V's step-distilled files change the modulations of blocks and head as diff_m."""
    shapes = {**SHAPES, "head.modulation": (1, 2, 6)}
    tensors = {
        "diffusion_model.blocks.0.diff_m": torch.ones(1, 6, 6),
        "diffusion_model.head.diff_m": torch.ones(1, 2, 6),
    }
    merge = LoraMerge.read([lora(tensors, scale=0.5)], shapes)
    assert merge("blocks.0.modulation", torch.ones(1, 6, 6)).unique().tolist() == [1.5]
    assert merge("head.modulation", torch.zeros(1, 2, 6)).unique().tolist() == [0.5]
    with pytest.raises(WeightsMismatchError, match=r"head\.diff_m"):
        LoraMerge.read([lora(tensors)], SHAPES)


def test_convolutions_take_low_rank_changes(lora) -> None:
    """The patch embedding's kernel counts as columns."""
    tensors = {
        "diffusion_model.patch_embedding.lora_down.weight": torch.ones(2, 4, 1, 2, 2),
        "diffusion_model.patch_embedding.lora_up.weight": torch.ones(6, 2, 1, 1, 1),
    }
    merge = LoraMerge.read([lora(tensors)], SHAPES)
    changed = merge("patch_embedding.weight", torch.zeros(6, 4, 1, 2, 2))
    assert changed.unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"diffusion_model.blocks.9.ffn.0.diff": torch.ones(6, 4)}, "unexpected"),
        ({"diffusion_model.blocks.0.ffn.0.dora_scale": torch.ones(6)}, "unexpected"),
        ({"lora_unet_blocks_0_nothing.diff": torch.ones(6)}, "unexpected"),
        (
            {
                "diffusion_model.blocks.0.norm3.diff": torch.ones(6),
                "blocks.0.norm3.diff": torch.ones(6),
            },
            "unexpected",
        ),
        ({"diffusion_model.blocks.0.ffn.0.lora_up.weight": UP}, "missing"),
        ({"diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(1.0)}, "missing"),
        ({"diffusion_model.blocks.0.ffn.0.diff": torch.ones(4, 6)}, "misshapen"),
    ],
)
def test_what_lands_nowhere_is_an_error(lora, tensors, problem) -> None:
    """A key without a place, a lonely half and a wrong shape are told by name."""
    file = lora(tensors)
    with pytest.raises(WeightsMismatchError) as caught:
        LoraMerge.read([file], SHAPES)
    assert getattr(caught.value, problem)
    assert caught.value.file == file.path


def test_the_references_reading_ignores_the_rest(lora) -> None:
    """Other prefixes, alpha, lora_A and lonely halves change nothing in the compatible mode."""
    tensors = {
        "diffusion_model.blocks.0.ffn.0.lora_down.weight": DOWN,
        "diffusion_model.blocks.0.ffn.0.lora_up.weight": UP,
        "diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(1.0),
        "diffusion_model.blocks.0.self_attn.q.lora_A.weight": DOWN,
        "diffusion_model.head.head.lora_down.weight": DOWN,
        "blocks.0.self_attn.q.diff_b": torch.ones(6),
    }
    merge = LoraMerge.read([lora(tensors)], SHAPES, reading="reference")
    assert list(merge.deltas) == ["blocks.0.ffn.0.weight"]
    torch.testing.assert_close(merge("blocks.0.ffn.0.weight", torch.zeros(6, 4)), PRODUCT)


def test_a_missing_file_is_named(tmp_path) -> None:
    """The path is in the error."""
    with pytest.raises(MissingWeightsError, match="fusion"):
        LoraMerge.read([Lora(path=tmp_path / "fusion.safetensors")], SHAPES)
