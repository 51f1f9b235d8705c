"""The only place that knows how published checkpoints are stored."""

from .layout import adapter_file, transformer_files
from .lora import LoraMerge
from .models import (
    Models,
    read_models,
    read_sizes,
    read_speech_encoder,
    read_text_encoder,
    read_transformer,
    read_vae,
    read_vision_encoder,
)
from .published import published_parameters, published_shapes
from .quantised import QuantisedLinear, read_map, replace_linears, stored_names
from .stored import Entries, Stored, fill, read_entries, union, without_values

__all__ = [
    "Entries",
    "LoraMerge",
    "Models",
    "QuantisedLinear",
    "Stored",
    "adapter_file",
    "fill",
    "published_parameters",
    "published_shapes",
    "read_entries",
    "read_map",
    "read_models",
    "read_sizes",
    "read_speech_encoder",
    "read_text_encoder",
    "read_transformer",
    "read_vae",
    "read_vision_encoder",
    "replace_linears",
    "stored_names",
    "transformer_files",
    "union",
    "without_values",
]
