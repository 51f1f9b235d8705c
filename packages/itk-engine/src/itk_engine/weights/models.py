"""Builds every model of a checkpoint and fills it, strictly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import nn

from itk_engine.conditioning import (
    TEXT_TOKENS,
    PromptEncoder,
    SpeechEncoder,
    TextEncoder,
    VisionEncoder,
    read_tokenizer,
)
from itk_engine.config import CheckpointFiles
from itk_engine.errors import (
    MissingWeightsError,
    UnsupportedFeatureError,
    WeightsMismatchError,
    WeightsUnreadableError,
)
from itk_engine.model import DiT, DiTConfig
from itk_engine.vae import VAE
from itk_schema import ModelInfo

from . import layout
from .lora import LoraMerge
from .quantised import quantised_text_files, read_map, replace_linears, stored_names
from .stored import Change, Entries, fill, identity, read_entries, union, without_values

_TINY = "tiny"


@frozen(kw_only=True, eq=False)
class Models:
    """Everything that a checkpoint holds, ready to compute.

    `bucket_scale` multiplies the sizes at which videos are made; 1 for published checkpoints.
    """

    dit: DiT
    vae: VAE
    text: PromptEncoder
    clip: VisionEncoder
    speech: SpeechEncoder
    bucket_scale: float
    info: ModelInfo


def read_models(
    files: CheckpointFiles,
    *,
    device: torch.device,
    dtype: torch.dtype,
    transformer_device: torch.device | None = None,
    text_device: torch.device | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> Models:
    """Read a whole checkpoint; `on_phase` hears what comes next.

    The transformer and the text encoder compute in `dtype`, the image encoder in float16 on CUDA,
    the autoencoder and the speech encoder in float32. `transformer_device` and `text_device` are
    where those two lie at first (default: `device`).

    Raises:
        MissingWeightsError: a file does not exist; it says which variable points there.
        WeightsMismatchError: names or shapes differ; it names the file and the first few.
        WeightsUnreadableError: a file is damaged or something else.
    """
    tell = on_phase or (lambda _: None)
    tell("transformer")
    dit, scale, info = read_transformer(files, device=transformer_device or device, dtype=dtype)
    tell("autoencoder")
    vae = read_vae(files.base / layout.VAE_FILE, device=device)
    tell("text encoder")
    text = read_text_encoder(
        files, device=text_device or device, dtype=dtype, tokens=dit.config.text_len
    )
    tell("image encoder")
    sight = torch.float16 if device.type == "cuda" else torch.float32
    clip = read_vision_encoder(files.base / layout.CLIP_FILE, device=device, dtype=sight)
    tell("speech encoder")
    speech = read_speech_encoder(files.wav2vec, device=device)
    return Models(
        dit=dit, vae=vae, text=text, clip=clip, speech=speech, bucket_scale=scale, info=info
    )


def read_transformer(
    files: CheckpointFiles, *, device: torch.device, dtype: torch.dtype
) -> tuple[DiT, float, ModelInfo]:
    """Read the transformer, the scale of its sizes and what it is.

    A quantised file takes the place of shards and adapter. LoRAs are merged in float32, before
    anything is rounded or quantised.

    Raises:
        UnsupportedFeatureError: LoRAs together with a quantised file.
    """
    content = _configuration(files)
    config = read_sizes(files)
    with without_values():
        dit = DiT(config)
    if files.quantised is None:
        paths, precision = _fill_transformer(dit, files, device=device, dtype=dtype)
    else:
        if files.loras:
            raise UnsupportedFeatureError(
                field="loras", why="a quantised file cannot take a LoRA; use unquantised weights"
            )
        precision = _fill_quantised(dit, files.quantised, device=device, dtype=dtype)
        paths = [files.quantised]
    name = str(content.get("_name_or_path") or "")
    info = ModelInfo(
        name=_TINY if name == _TINY else name or "InfiniteTalk-14B",
        weights=identity([*paths, *(lora.path for lora in files.loras)]),
        precision=precision,
    )
    return dit, float(content.get("bucket_scale", 1.0)), info


def read_sizes(files: CheckpointFiles) -> DiTConfig:
    """Read the transformer's sizes alone, from the base's config.json.

    Raises:
        MissingWeightsError: there is no such file.
        WeightsUnreadableError: it does not describe this transformer.
    """
    try:
        return DiTConfig.from_mapping(_configuration(files))
    except (TypeError, ValueError) as error:
        file = files.base / layout.CONFIG_FILE
        raise WeightsUnreadableError(file=file, why=str(error)) from error


def read_vae(file: Path, *, device: torch.device, dtype: torch.dtype = torch.float32) -> VAE:
    """Read the autoencoder at whatever width the file has."""
    entries = read_entries(file, what="autoencoder weights, where CKPT_DIR points to,")
    with without_values():
        vae = VAE(layout.vae_config(entries))
    fill(vae, entries, device=device, dtype=dtype, home=lambda _: file)
    if device.type == "cuda":
        for parameter in vae.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return vae


def read_text_encoder(
    files: CheckpointFiles, *, device: torch.device, dtype: torch.dtype, tokens: int = TEXT_TOKENS
) -> PromptEncoder:
    """Read tokenizer and text encoder; beside a quantised transformer lies a quantised encoder.

    Prompts are cut to `tokens`, which is the transformer's `text_len`.
    """
    tokenizer = read_tokenizer(files.base / layout.TOKENIZER_FOLDER, tokens=tokens)
    quantised = quantised_text_files(files.quantised) if files.quantised else None
    if quantised is not None:
        return PromptEncoder(tokenizer, _quantised_text(*quantised, device=device, dtype=dtype))
    file = files.base / layout.TEXT_FILE
    entries = read_entries(file, what="text encoder weights, where CKPT_DIR points to,")
    with without_values():
        model = TextEncoder(layout.text_config(entries))
    fill(model, entries, device=device, dtype=dtype, home=lambda _: file)
    return PromptEncoder(tokenizer, model)


def read_vision_encoder(file: Path, *, device: torch.device, dtype: torch.dtype) -> VisionEncoder:
    """Read CLIP's vision half; the file holds the text half too, which nothing needs."""
    stored = read_entries(file, what="image encoder weights, where CKPT_DIR points to,")
    prefix = "visual."
    entries = {
        name.removeprefix(prefix): entry
        for name, entry in stored.items()
        if name.startswith(prefix)
    }
    if not entries:
        raise WeightsMismatchError(file=file, missing=(f"{prefix}*",))
    with without_values():
        model = VisionEncoder(layout.vision_config(entries))
    fill(model, entries, device=device, dtype=dtype, home=lambda _: file)
    return model


def read_speech_encoder(folder: Path, *, device: torch.device | None = None) -> SpeechEncoder:
    """Read wav2vec 2.0 from its published folder, in float32."""
    config = layout.speech_config(folder)
    file = next(
        (
            folder / name
            for name in ("model.safetensors", "pytorch_model.bin")
            if (folder / name).is_file()
        ),
        folder / "model.safetensors",
    )
    stored = read_entries(file, what="speech encoder weights, where WAV2VEC_DIR points to,")
    with without_values():
        model = SpeechEncoder(config)
    fill(
        model,
        _speech_names(stored, model),
        device=device or torch.device("cpu"),
        dtype=torch.float32,
        home=lambda _: file,
    )
    return model


def _configuration(files: CheckpointFiles) -> dict[str, Any]:
    return layout.read_json(
        files.base / layout.CONFIG_FILE,
        what="transformer configuration, where CKPT_DIR points to,",
    )


def _fill_transformer(
    dit: DiT, files: CheckpointFiles, *, device: torch.device, dtype: torch.dtype
) -> tuple[list[Path], str]:
    paths = layout.transformer_files(files)
    entries = union(read_entries(path, what="transformer weights") for path in paths)
    shapes = {name: tuple(tensor.shape) for name, tensor in dit.state_dict().items()}
    change: Change | None = LoraMerge.read(files.loras, shapes) if files.loras else None
    adapter = None if files.adapter is None else layout.adapter_file(files.adapter)

    def home(name: str) -> Path:
        base = files.base / layout.TRANSFORMER_FILES
        return adapter if adapter is not None and layout.is_adapters(name) else base

    fill(dit, entries, device=device, dtype=dtype, home=home, change=change)
    return paths, str(dtype).removeprefix("torch.")


def _fill_quantised(dit: DiT, file: Path, *, device: torch.device, dtype: torch.dtype) -> str:
    kinds = _fill_by_map(dit, file, file.with_suffix(".json"), device=device, dtype=dtype)
    return "int8" if "qint8" in kinds else "fp8"


def _quantised_text(
    file: Path, table: Path, *, device: torch.device, dtype: torch.dtype
) -> TextEncoder:
    entries = stored_names(read_entries(file, what="quantised text encoder weights"), {})
    with without_values():
        model = TextEncoder(layout.text_config(entries))
    _fill_by_map(model, file, table, device=device, dtype=dtype)
    return model


def _fill_by_map(
    model: nn.Module, file: Path, table: Path, *, device: torch.device, dtype: torch.dtype
) -> set[str]:
    if not file.is_file():
        raise MissingWeightsError(path=file, what="quantised weights, where QUANT_DIR points to,")
    kinds = read_map(table)
    entries = read_entries(file, what="quantised weights, where QUANT_DIR points to,")
    replace_linears(model, kinds, file=table)
    fill(
        model,
        stored_names(entries, kinds),
        device=device,
        dtype=dtype,
        home=lambda _: file,
    )
    return set(kinds.values())


def _speech_names(stored: Entries, model: SpeechEncoder) -> Entries:
    """Bring the names that wav2vec 2.0 is published under to the ones of this model."""
    renamed = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    heads = ("quantizer.", "project_hid.", "project_q.", "lm_head.")  # of its own training
    entries: Entries = {}
    for name, entry in stored.items():
        if name.startswith(heads):
            continue
        inner = name.removeprefix("wav2vec2.")
        for old, new in renamed.items():
            inner = inner.replace(old, new)
        entries[inner] = entry
    if "masked_spec_embed" not in entries:
        del model.masked_spec_embed
    return entries
