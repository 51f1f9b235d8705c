"""The transformer beyond what the recorded cases prove."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch

from itk_engine.model import DiT, DiTConfig
from itk_engine.ops.speaker_map import speaker_map

PUBLISHED_PARAMETERS = 18_882_046_784

MakeDiT = Callable[..., DiT]
MakeInputs = Callable[..., Any]


def test_the_defaults_are_the_published_model() -> None:
    """Without a config the transformer has the published number of parameters."""
    with torch.device("meta"):
        dit = DiT(DiTConfig())
    assert sum(parameter.numel() for parameter in dit.parameters()) == PUBLISHED_PARAMETERS


def test_two_speakers_take_gradients_to_every_parameter(
    small_dit: MakeDiT, dit_inputs: MakeInputs
) -> None:
    """The same module trains: every parameter that is used gets a finite gradient."""
    dit = small_dit().requires_grad_()
    inputs = dit_inputs(speakers=2)
    velocity = dit(inputs.latent, torch.tensor([500.0]), dit.condition(**inputs.conditions))
    velocity.square().mean().backward()
    for name, parameter in dit.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_batch_is_its_items(small_dit: MakeDiT, dit_inputs: MakeInputs) -> None:
    """Several latents at several times are predicted as if one by one."""
    dit = small_dit()
    one, two = dit_inputs(speakers=2, seed=1), dit_inputs(speakers=2, seed=2)
    both = {
        name: torch.cat((value, two.conditions[name])) for name, value in one.conditions.items()
    }
    times = torch.tensor([900.0, 100.0])
    together = dit(torch.cat((one.latent, two.latent)), times, dit.condition(**both))
    for item, inputs in enumerate((one, two)):
        alone = dit(inputs.latent, times[item : item + 1], dit.condition(**inputs.conditions))
        torch.testing.assert_close(together[item : item + 1], alone, rtol=1e-4, atol=1e-5)


def test_each_speaker_has_an_influence(small_dit: MakeDiT, dit_inputs: MakeInputs) -> None:
    """Changing either speaker's speech, or who stands where, changes the prediction."""
    dit = small_dit()
    inputs = dit_inputs(speakers=2, grid=(2, 4, 6))

    def predict(**changed: torch.Tensor) -> torch.Tensor:
        conditions = dit.condition(**(inputs.conditions | changed))
        return dit(inputs.latent, torch.tensor([500.0]), conditions)

    plain = predict()
    speech, masks = inputs.conditions["speech"], inputs.conditions["masks"]
    for speaker in (0, 1):
        louder = speech.clone()
        louder[:, speaker] *= 2
        assert not torch.allclose(predict(speech=louder), plain)
    assert not torch.allclose(predict(masks=masks[:, [1, 0, 2]]), plain)


def test_an_empty_region_never_wins(small_dit: MakeDiT, dit_inputs: MakeInputs) -> None:
    """A speaker whose region a crop removed owns no token, and nothing becomes NaN."""
    dit = small_dit()
    inputs = dit_inputs(speakers=2)
    masks = inputs.conditions["masks"].clone()
    masks[:, 2] += masks[:, 0]
    masks[:, 0] = 0
    conditions = dit.condition(**(inputs.conditions | {"masks": masks}))
    assert torch.isfinite(dit(inputs.latent, torch.tensor([500.0]), conditions)).all()


def test_the_speaker_map_equals_the_written_out_one(small_dit: MakeDiT) -> None:
    """It is softmax attention summed over regions, the last odd head left out."""
    generator = torch.Generator().manual_seed(3)
    q, k = torch.randn(2, 1, 12, 3, 8, generator=generator)
    regions = torch.tensor([[[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]])
    weights = torch.einsum("blnh,brnh->bnlr", q[:, :, :2], k[:, :4, :2]) / 8**0.5
    summed = torch.einsum("bnlr,bkr->bkl", weights.softmax(-1), regions) / 2
    expected = summed / regions.sum(-1, keepdim=True)
    came = speaker_map(q, k, regions, attend=small_dit().blocks[0].self_attn.attend)
    torch.testing.assert_close(came, expected)


def test_a_config_speaks_up_about_what_it_does_not_know(small_config: DiTConfig) -> None:
    """Unknown keys and values that the model lacks are refused; private keys are skipped."""
    sizes = attrs.asdict(small_config)
    harmless = {"_class_name": "WanModel", "bucket_scale": 0.2}
    assert DiTConfig.from_mapping({**sizes, **harmless}) == small_config
    with pytest.raises(ValueError, match="unknown key 'depth'"):
        DiTConfig.from_mapping({**sizes, "depth": 3})
    with pytest.raises(ValueError, match="qk_norm must be True"):
        DiTConfig.from_mapping({**sizes, "qk_norm": False})
    with pytest.raises(ValueError, match="heads"):
        DiTConfig.from_mapping({**sizes, "num_heads": 5})
