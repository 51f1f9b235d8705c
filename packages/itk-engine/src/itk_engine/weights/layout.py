"""Where the published files lie, and which sizes a checkpoint has."""

import json  # noqa: TID251  config.json belongs to the checkpoint, not to the contract
import re
from pathlib import Path
from typing import Any

from itk_engine.conditioning import SpeechConfig, TextEncoderConfig, VisionConfig
from itk_engine.config import CheckpointFiles
from itk_engine.errors import MissingWeightsError, WeightsMismatchError, WeightsUnreadableError
from itk_engine.vae import VAEConfig

from .stored import Entries

CONFIG_FILE = "config.json"
TRANSFORMER_FILES = "diffusion_pytorch_model*.safetensors"
FIRST_SHARD = "diffusion_pytorch_model-00001-of-00007.safetensors"
VAE_FILE = "Wan2.1_VAE.pth"
TEXT_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
CLIP_FILE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
TOKENIZER_FOLDER = "google/umt5-xxl"
ADAPTER_FILE = "infinitetalk.safetensors"
ADAPTER_KINDS = ("single", "multi")

# What InfiniteTalk adds to the transformer of Wan 2.1.
_ADAPTER_PARTS = ("audio_proj.", ".audio_cross_attn.", ".norm_x.")

VISION_HEAD_WIDTH = 80  # the published model's; shapes do not tell how many heads there are


def transformer_files(files: CheckpointFiles) -> list[Path]:
    """The files whose union is the transformer: the base's shards, then the adapter.

    Raises:
        MissingWeightsError: there is no shard, one of a numbered set is missing, or the adapter.
    """
    shards = sorted(files.base.glob(TRANSFORMER_FILES))
    adapter = None if files.adapter is None else adapter_file(files.adapter)
    if not shards and adapter is None:
        raise MissingWeightsError(
            path=files.base / FIRST_SHARD, what="transformer weights, where CKPT_DIR points to,"
        )
    for shard in shards:
        _require_whole_set(shard)
    return shards if adapter is None else [*shards, adapter]


def adapter_file(path: Path) -> Path:
    """The InfiniteTalk file: the path itself, or the one in a folder with single/ and multi/."""
    candidates = [path]
    if path.is_dir():
        candidates = [path / kind / ADAPTER_FILE for kind in ADAPTER_KINDS]
        candidates += [path / ADAPTER_FILE]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MissingWeightsError(
        path=candidates[0], what="InfiniteTalk weights, where INFINITETALK_DIR points to,"
    )


def is_adapters(name: str) -> bool:
    """Whether a parameter belongs to what InfiniteTalk adds to the base."""
    return any(part in name for part in _ADAPTER_PARTS)


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MissingWeightsError: the file does not exist.
        WeightsUnreadableError: it is no JSON object.
    """
    if not path.is_file():
        raise MissingWeightsError(path=path, what=what)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsUnreadableError(file=path, why=str(error)) from error
    if not isinstance(content, dict):
        raise WeightsUnreadableError(file=path, why="it is not a JSON object")
    return content


def vae_config(entries: Entries) -> VAEConfig:
    """Infer the autoencoder's sizes from its shapes."""
    first = _shape(entries, "encoder.conv1.weight")
    last = _shape(entries, "conv2.weight")
    return VAEConfig(base_width=first[0], z_channels=last[0])


def text_config(entries: Entries) -> TextEncoderConfig:
    """Infer the text encoder's sizes from its shapes."""
    vocabulary, width = _shape(entries, "token_embedding.weight")
    buckets, heads = _shape(entries, "blocks.0.pos_embedding.embedding.weight")
    return TextEncoderConfig(
        vocab_size=vocabulary,
        dim=width,
        dim_attn=_shape(entries, "blocks.0.attn.q.weight")[0],
        dim_ffn=_shape(entries, "blocks.0.ffn.fc1.weight")[0],
        num_heads=heads,
        num_layers=_count(entries, r"blocks\.(\d+)\."),
        num_buckets=buckets,
    )


def vision_config(entries: Entries) -> VisionConfig:
    """Infer the image encoder's sizes from its shapes; its heads are 80 wide, as published."""
    width, _, patch, _ = _shape(entries, "patch_embedding.weight")
    tokens = _shape(entries, "pos_embedding")[1]
    return VisionConfig(
        image_size=patch * round((tokens - 1) ** 0.5),
        patch_size=patch,
        dim=width,
        mlp_ratio=_shape(entries, "transformer.0.mlp.0.weight")[0] // width,
        out_dim=_shape(entries, "head")[1],
        num_heads=max(1, width // VISION_HEAD_WIDTH),
        num_layers=_count(entries, r"transformer\.(\d+)\."),
    )


def speech_config(folder: Path) -> SpeechConfig:
    """Read the speech encoder's sizes from its two JSON files."""
    what = "speech encoder, where WAV2VEC_DIR points to,"
    config = read_json(folder / "config.json", what=what)
    processor = read_json(folder / "preprocessor_config.json", what=what)
    config["do_normalize"] = processor.get("do_normalize", True)
    try:
        return SpeechConfig.from_mapping(config)
    except ValueError as error:
        raise WeightsUnreadableError(file=folder / "config.json", why=str(error)) from error


def _require_whole_set(shard: Path) -> None:
    match = re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})\.safetensors", shard.name)
    if match is None:
        return
    stem, _, count = match.groups()
    for number in range(1, int(count) + 1):
        sibling = shard.with_name(f"{stem}-{number:05}-of-{count}.safetensors")
        if not sibling.is_file():
            raise MissingWeightsError(
                path=sibling, what="transformer weights, where CKPT_DIR points to,"
            )


def _shape(entries: Entries, name: str) -> tuple[int, ...]:
    if name not in entries:
        file = next(iter(entries.values())).file if entries else Path("(an empty file)")
        raise WeightsMismatchError(file=file, missing=(name,))
    return entries[name].shape


def _count(entries: Entries, pattern: str) -> int:
    numbers = [int(match[1]) for name in entries if (match := re.match(pattern, name))]
    return 1 + max(numbers, default=-1)
