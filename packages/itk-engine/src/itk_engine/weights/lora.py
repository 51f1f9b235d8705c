"""Merges low-rank files into weights while these are read.

W + scale · alpha / rank · up · down (Hu et al. 2021), and plain differences of weights, biases and
modulations (`diff`, `diff_b`, `diff_m`; LightX2V's step-distilled files have all three), under the
names that Wan trainers use: the model's own, with the prefixes of ComfyUI (`diffusion_model.`) and
diffusers (`transformer.`), diffusers' names for the same layers, and underscored ones
(`lora_unet_`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import torch
from attrs import define, field, frozen
from torch import Tensor

from itk_engine.config import Lora
from itk_engine.errors import WeightsMismatchError

from .stored import Stored, read_entries

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
# "complete" reads every known style and refuses what it does not understand. "reference" reads
# what the published pipeline reads: `diffusion_model.` names, without alpha, the rest ignored.
Reading: TypeAlias = Literal["complete", "reference"]

_PREFIXES = ("base_model.model.", "diffusion_model.", "transformer.", "model.")
_UNDERSCORED = "lora_unet_"
_ROLES = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".diff_m": "diff_m",
}
_REFERENCE_ROLES = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".diff": "diff",
    ".diff_b": "diff_b",
}
# What each role changes of its layer; "up" goes with "down".
_TARGETS = {"down": "weight", "diff": "weight", "diff_b": "bias", "diff_m": "modulation"}
# What diffusers calls the layers of this transformer.
_DIFFUSERS = (
    (r"\.attn1\.to_([qkv])$", r".self_attn.\1"),
    (r"\.attn1\.to_out\.0$", r".self_attn.o"),
    (r"\.attn1\.norm_([qk])$", r".self_attn.norm_\1"),
    (r"\.attn2\.to_([qkv])$", r".cross_attn.\1"),
    (r"\.attn2\.to_out\.0$", r".cross_attn.o"),
    (r"\.attn2\.add_([kv])_proj$", r".cross_attn.\1_img"),
    (r"\.attn2\.norm_([qk])$", r".cross_attn.norm_\1"),
    (r"\.attn2\.norm_added_k$", r".cross_attn.norm_k_img"),
    (r"^(blocks\.\d+)\.norm2$", r"\1.norm3"),
    (r"^(blocks\.\d+)\.ffn\.net\.0\.proj$", r"\1.ffn.0"),
    (r"^(blocks\.\d+)\.ffn\.net\.2$", r"\1.ffn.2"),
    (r"^condition_embedder\.time_embedder\.linear_1$", r"time_embedding.0"),
    (r"^condition_embedder\.time_embedder\.linear_2$", r"time_embedding.2"),
    (r"^condition_embedder\.time_proj$", r"time_projection.1"),
    (r"^condition_embedder\.text_embedder\.linear_1$", r"text_embedding.0"),
    (r"^condition_embedder\.text_embedder\.linear_2$", r"text_embedding.2"),
    (r"^condition_embedder\.image_embedder\.norm1$", r"img_emb.proj.0"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj$", r"img_emb.proj.1"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2$", r"img_emb.proj.3"),
    (r"^condition_embedder\.image_embedder\.norm2$", r"img_emb.proj.4"),
    (r"^proj_out$", r"head.head"),
)


@define
class _Layer:
    """What one file says about one layer; the values are the stored tensors."""

    roles: dict[str, Stored] = field(factory=dict)
    keys: dict[str, str] = field(factory=dict)


@frozen(kw_only=True, eq=False)
class _Delta:
    """A change of one parameter: a product of two matrices, or a plain difference."""

    scale: float
    parts: tuple[Stored, ...]

    def of(self, like: Tensor) -> Tensor:
        tensors = [part.read().to(like.device, torch.float32) for part in self.parts]
        if len(tensors) == 1:
            return self.scale * tensors[0].view(like.shape)
        up, down = (tensor.flatten(1) for tensor in tensors)
        return self.scale * (up @ down).view(like.shape)


@frozen(eq=False)
class LoraMerge:
    """Adds every file's differences to a parameter when it is read; call it with name and value."""

    deltas: Mapping[str, tuple[_Delta, ...]]

    @classmethod
    def read(
        cls, loras: Iterable[Lora], shapes: Shapes, *, reading: Reading = "complete"
    ) -> "LoraMerge":
        """Open the files and find out what they change in a model with these names and shapes.

        Raises:
            MissingWeightsError: a file does not exist.
            WeightsMismatchError: a key lands nowhere, lacks its other half or has another shape.
        """
        deltas: dict[str, tuple[_Delta, ...]] = {}
        for lora in loras:
            for name, delta in _deltas(lora, shapes, reading):
                deltas[name] = (*deltas.get(name, ()), delta)
        return cls(deltas)

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Return the changed parameter in its own dtype; the sum is float32, rounded once."""
        if name not in self.deltas:
            return value
        total = value.to(torch.float32)
        for delta in self.deltas[name]:
            total = total + delta.of(total)
        return total.to(value.dtype)


def _deltas(lora: Lora, shapes: Shapes, reading: Reading) -> list[tuple[str, _Delta]]:
    entries = read_entries(lora.path, what="LoRA")
    layers, strange = _layers(entries, shapes, reading)
    missing: list[str] = []
    misshapen: list[str] = []
    found: list[tuple[str, _Delta]] = []
    for name, layer in layers.items():
        if reading == "complete":
            missing += _missing_half(name, layer)
        for role, target in _TARGETS.items():
            if role not in layer.roles or (role == "down" and "up" not in layer.roles):
                continue
            parameter = _parameter(name, target, shapes)
            if parameter not in shapes:
                strange.append(layer.keys[role])
                continue
            parts, factor = _parts(layer, role)
            if reading == "reference" or lora.alpha == "ignore":
                factor = 1.0
            came = _shape_of(parts)
            if came != tuple(shapes[parameter]):
                needed = list(shapes[parameter])
                misshapen.append(f"{layer.keys[role]}: needed {needed}, came {list(came)}")
            found.append((parameter, _Delta(scale=lora.scale * factor, parts=parts)))
    if strange or missing or misshapen:
        raise WeightsMismatchError(
            file=lora.path,
            missing=tuple(missing),
            unexpected=tuple(strange),
            misshapen=tuple(misshapen),
        )
    return found


def _layers(
    entries: Mapping[str, Stored], shapes: Shapes, reading: Reading
) -> tuple[dict[str, _Layer], list[str]]:
    """Group the keys by layer; return also those that mean nothing here."""
    layers: dict[str, _Layer] = {}
    strange: list[str] = []
    roles = _ROLES if reading == "complete" else _REFERENCE_ROLES
    underscored = _underscored(shapes)
    for key, entry in entries.items():
        suffix = next((s for s in sorted(roles, key=len, reverse=True) if key.endswith(s)), None)
        name = None if suffix is None else _layer_name(key.removesuffix(suffix), underscored)
        if reading == "reference" and not key.startswith("diffusion_model."):
            continue
        if suffix is None or name is None:
            if reading == "complete":
                strange.append(key)
            continue
        layer = layers.setdefault(name, _Layer())
        if reading == "complete" and roles[suffix] in layer.roles:
            strange.append(key)  # the same part once more, under another style's name
            continue
        layer.roles[roles[suffix]] = entry
        layer.keys[roles[suffix]] = key
    return layers, strange


def _layer_name(stem: str, underscored: Mapping[str, str]) -> str | None:
    if stem.startswith(_UNDERSCORED):
        return underscored.get(stem.removeprefix(_UNDERSCORED))
    for prefix in _PREFIXES:
        stem = stem.removeprefix(prefix)
    for pattern, ours in _DIFFUSERS:
        stem, count = re.subn(pattern, ours, stem)
        if count:
            break
    return stem


def _underscored(shapes: Shapes) -> dict[str, str]:
    layers = {name.rpartition(".")[0] for name in shapes}
    return {layer.replace(".", "_"): layer for layer in layers}


def _missing_half(name: str, layer: _Layer) -> list[str]:
    halves = {"down", "up"} & set(layer.roles)
    if len(halves) == 1:
        other = ({"down", "up"} - halves).pop()
        return [f"the lora_{other} of {layer.keys[halves.pop()]}"]
    return [f"the weights of {name}.alpha"] if set(layer.roles) == {"alpha"} else []


def _parameter(layer: str, kind: str, shapes: Shapes) -> str:
    """A layer's weight or bias; a parameter without a layer, such as a modulation, is itself."""
    return layer if kind == "weight" and layer in shapes else f"{layer}.{kind}"


def _parts(layer: _Layer, role: str) -> tuple[tuple[Stored, ...], float]:
    """The tensors behind a role and the factor, alpha over rank, that the file asks for."""
    if role != "down":
        return (layer.roles[role],), 1.0
    up, down = layer.roles["up"], layer.roles["down"]
    alpha = layer.roles.get("alpha")
    return (up, down), 1.0 if alpha is None else float(alpha.read()) / down.shape[0]


def _shape_of(parts: tuple[Stored, ...]) -> tuple[int, ...]:
    if len(parts) == 1:
        return parts[0].shape
    up, down = parts
    if up.shape[1] != down.shape[0]:
        return (up.shape[0], *down.shape[1:], -1)
    return (up.shape[0], *down.shape[1:])
