"""The published quantised layout is read and computed with as it is meant."""

import json

import pytest
import torch
from torch import nn

from itk_engine.errors import WeightsMismatchError, WeightsUnreadableError
from itk_engine.weights import QuantisedLinear, read_map, replace_linears, stored_names
from itk_engine.weights.quantised import quantised_text_files


@pytest.mark.parametrize("stored_as", [torch.int8, torch.float8_e4m3fn])
def test_a_weight_is_data_times_scale(stored_as) -> None:
    """The layer multiplies with data · scale of each output row."""
    layer = QuantisedLinear(4, 3, bias=True, stored_as=stored_as)
    data = torch.tensor([[1.0, -2, 3, 4], [5, 6, -7, 8], [9, 10, 11, 12]])
    layer.data.data = data.to(stored_as)
    layer.scale.data = torch.tensor([[0.5], [0.25], [2.0]])
    layer.bias.data = torch.tensor([1.0, 2.0, 3.0])
    x = torch.randn(5, 4)
    torch.testing.assert_close(layer(x), x @ (data * layer.scale).T + layer.bias)
    assert layer(x.bfloat16()).dtype == torch.bfloat16


def test_only_the_layers_of_the_map_are_replaced(tmp_path) -> None:
    """The rest of the model stays as it is, and stored names become the layer's."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"1": {"weights": "qint8", "activations": "none"}}))
    kinds = read_map(file)
    replace_linears(model, kinds, file=file)
    assert type(model[0]) is nn.Linear
    assert model[1].data.dtype == torch.int8
    stored = ("0.weight", "0.bias", "1.weight._data", "1.weight._scale", "1.bias")
    scalars = ("1.input_scale", "1.output_scale")
    assert set(stored_names(dict.fromkeys((*stored, *scalars)), kinds)) == set(model.state_dict())


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"0": {"weights": "qint4", "activations": "none"}}, WeightsUnreadableError),
        ({"0": {"weights": "qint8", "activations": "qint8"}}, WeightsUnreadableError),
        ({"0": 3}, WeightsUnreadableError),
        ([], WeightsUnreadableError),
        ({"9": {"weights": "qint8"}}, WeightsMismatchError),
    ],
)
def test_maps_of_other_kinds_are_refused(tmp_path, content, error) -> None:
    """What this reader does not compute is an error that names the map."""
    file = tmp_path / "map.json"
    file.write_text(json.dumps(content))
    with pytest.raises(error, match=r"map\.json"):
        replace_linears(nn.Sequential(nn.Linear(4, 4)), read_map(file), file=file)


def test_the_quantised_text_encoder_lies_beside(tmp_path) -> None:
    """It is used where it is, and the plain one otherwise: one of the published ones is missing."""
    transformer = tmp_path / "infinitetalk_single_fp8.safetensors"
    assert quantised_text_files(transformer) is None
    (tmp_path / "t5_fp8.safetensors").touch()
    found = (tmp_path / "t5_fp8.safetensors", tmp_path / "t5_map_fp8.json")
    assert quantised_text_files(transformer) == found
