"""Reads and computes with weights that optimum-quanto stored as int8 or float8.

Only weights are quantised: weight[o, i] = data[o, i] · scale[o]. Keys of a quantised layer N are
`N.weight._data` [out, in], `N.weight._scale` [out, 1], `N.bias`, and two scalars that weight-only
quantisation does not use. A map beside the file says which layers they are.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from torch import Tensor, nn

from itk_engine.errors import WeightsMismatchError, WeightsUnreadableError

from .layout import read_json
from .stored import Entries

STORED_AS = {"qint8": torch.int8, "qfloat8_e4m3fn": torch.float8_e4m3fn}
_UNUSED = (".input_scale", ".output_scale")


class QuantisedLinear(nn.Module):
    """A linear layer that keeps its weight quantised and multiplies with what it stands for."""

    def __init__(
        self, features: int, out_features: int, *, bias: bool, stored_as: torch.dtype
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = features, out_features
        data = torch.empty(out_features, features, dtype=stored_as)
        self.data = nn.Parameter(data, requires_grad=False)
        self.scale = nn.Parameter(torch.empty(out_features, 1), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out_features), requires_grad=False) if bias else None

    @property
    def weight(self) -> Tensor:
        """The weight [out, in] that the stored numbers stand for, in the scale's dtype."""
        return self.data.to(self.scale.dtype) * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Return x · weightᵀ + bias, in x's dtype."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


def read_map(file: Path) -> dict[str, str]:
    """Read which layers are quantised, and as what.

    Raises:
        WeightsUnreadableError: an entry asks for something else than weight-only int8 or float8.
    """
    kinds: dict[str, str] = {}
    content = read_json(file, what="map of quantised weights, where QUANT_DIR points to,")
    for name, entry in content.items():
        kind = entry.get("weights") if isinstance(entry, Mapping) else None
        if kind not in STORED_AS:
            raise WeightsUnreadableError(
                file=file, why=f"{name}: weights must be one of {sorted(STORED_AS)}, got {kind!r}"
            )
        if entry.get("activations", "none") != "none":
            raise WeightsUnreadableError(file=file, why=f"{name}: activations are quantised too")
        kinds[name] = kind
    return kinds


def replace_linears(model: nn.Module, kinds: Mapping[str, str], *, file: Path) -> None:
    """Put quantised layers, on the meta device, in the places that the map names.

    Raises:
        WeightsMismatchError: a name is no linear layer of the model.
    """
    modules = dict(model.named_modules())
    strange = tuple(name for name in kinds if not isinstance(modules.get(name), nn.Linear))
    if strange:
        raise WeightsMismatchError(file=file, unexpected=strange)
    for name, kind in kinds.items():
        linear = modules[name]
        assert isinstance(linear, nn.Linear)
        with torch.device("meta"):
            quantised = QuantisedLinear(
                linear.in_features,
                linear.out_features,
                bias=linear.bias is not None,
                stored_as=STORED_AS[kind],
            )
        parent, _, child = name.rpartition(".")
        setattr(modules[parent], child, quantised)


def stored_names(entries: Entries, kinds: Mapping[str, str]) -> Entries:
    """Bring the stored names to the ones of QuantisedLinear and drop the unused scalars."""
    named: Entries = {}
    for name, entry in entries.items():
        if name.endswith(_UNUSED) and (not kinds or name.rpartition(".")[0] in kinds):
            continue
        if name.endswith(".weight._data"):
            name = name.removesuffix(".weight._data") + (".data" if kinds else ".weight")  # noqa: PLW2901
        elif name.endswith(".weight._scale"):
            if not kinds:
                continue
            name = name.removesuffix(".weight._scale") + ".scale"  # noqa: PLW2901
        named[name] = entry
    return named


def quantised_text_files(transformer: Path) -> tuple[Path, Path] | None:
    """The quantised text encoder and its map that lie beside a quantised transformer, if any."""
    for kind in ("int8", "fp8"):
        if kind in transformer.name:
            file = transformer.with_name(f"t5_{kind}.safetensors")
            return (file, file.with_name(f"t5_map_{kind}.json")) if file.is_file() else None
    return None
