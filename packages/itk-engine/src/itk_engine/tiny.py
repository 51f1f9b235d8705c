"""Makes a small checkpoint, with random weights, in the layout of the published one.

    python -m itk_engine.tiny FOLDER

File names, tensor names and code are those of the 14B model; only the sizes are small. With random
weights its pictures are noise: the trained one, which `training/` writes through this module, comes
as the package itk-tiny.
"""

import argparse
import json  # noqa: TID251  the checkpoint's own configuration files
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn

from itk_engine.conditioning import (
    SpeechConfig,
    SpeechEncoder,
    TextEncoder,
    TextEncoderConfig,
    VisionConfig,
    VisionEncoder,
)
from itk_engine.config import CheckpointFiles
from itk_engine.model import DiT, DiTConfig
from itk_engine.vae import VAE, VAEConfig
from itk_engine.weights import layout, without_values

NAME = "tiny"
BUCKET_SCALE = 0.2  # a square of the 480 bucket becomes 128 x 128
SHARDS = 7
_BASE_FOLDER = "Wan2.1-I2V-14B-480P"
_ADAPTER_FOLDER = "InfiniteTalk"
_SPEECH_FOLDER = "chinese-wav2vec2-base"
_SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>")  # in the order of umT5's ids
_VOCABULARY = 256 + len(_SPECIAL_TOKENS)


@frozen(kw_only=True)
class TinySizes:
    """The sizes of every part, which must fit each other."""

    dit: DiTConfig
    vae: VAEConfig
    text: TextEncoderConfig
    clip: VisionConfig
    speech: SpeechConfig


TINY_SIZES = TinySizes(
    dit=DiTConfig(
        dim=192,
        ffn_dim=768,
        freq_dim=64,
        num_heads=6,
        num_layers=6,
        text_len=64,
        text_dim=64,
        intermediate_dim=128,
        output_dim=96,
        context_tokens=8,
        audio_blocks=4,
        audio_channels=64,
        clip_dim=80,
    ),
    vae=VAEConfig(base_width=16),
    text=TextEncoderConfig(
        vocab_size=_VOCABULARY, dim=64, dim_attn=64, dim_ffn=128, num_heads=4, num_layers=2
    ),
    clip=VisionConfig(dim=80, out_dim=32, num_heads=1, num_layers=3),
    speech=SpeechConfig(
        conv_dim=(64,) * 7,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=256,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=4,
    ),
)


@frozen(kw_only=True, eq=False)
class TinyModels:
    """The parts of a small checkpoint in memory, to be trained or written."""

    dit: DiT
    vae: VAE
    text: TextEncoder
    clip: VisionEncoder
    speech: SpeechEncoder

    @classmethod
    def random(cls, sizes: TinySizes = TINY_SIZES, *, seed: int = 0) -> "TinyModels":
        """Build all parts with weights that depend on the seed alone."""
        generator = torch.Generator().manual_seed(seed)
        with without_values():
            models = cls(
                dit=DiT(sizes.dit),
                vae=VAE(sizes.vae),
                text=TextEncoder(sizes.text),
                clip=VisionEncoder(sizes.clip),
                speech=SpeechEncoder(sizes.speech),
            )
        for model in (models.dit, models.vae, models.text, models.clip, models.speech):
            _fill_randomly(model, generator)
        return models


def make_checkpoint(folder: Path, seed: int = 0) -> CheckpointFiles:
    """Write a small checkpoint with random weights into a folder, in seconds."""
    return write_checkpoint(Path(folder), TinyModels.random(seed=seed))


def write_checkpoint(
    folder: Path, models: TinyModels, *, dtype: torch.dtype = torch.float16
) -> CheckpointFiles:
    """Write models in the published layout; their weights are stored in `dtype`."""
    files = checkpoint_files(folder)
    tokenizer = files.base / layout.TOKENIZER_FOLDER
    assert files.adapter is not None
    for place in (tokenizer, files.wav2vec, files.adapter.parent):
        place.mkdir(parents=True, exist_ok=True)
    _write_transformer(files, models.dit, dtype)
    torch.save(_state(models.vae, dtype), files.base / layout.VAE_FILE)
    torch.save(_state(models.text, dtype), files.base / layout.TEXT_FILE)
    clip = {f"visual.{name}": value for name, value in _state(models.clip, dtype).items()}
    # The published file has CLIP's text half too.
    clip["log_scale"] = torch.tensor(2.6593)
    torch.save(clip, files.base / layout.CLIP_FILE)
    make_tokenizer(tokenizer, tokens=models.dit.config.text_len)
    _write_speech_encoder(files.wav2vec, models.speech, dtype)
    return files


def checkpoint_files(folder: Path) -> CheckpointFiles:
    """Say where `write_checkpoint` puts everything."""
    adapter = folder / _ADAPTER_FOLDER / layout.ADAPTER_KINDS[0] / layout.ADAPTER_FILE
    return CheckpointFiles(
        base=folder / _BASE_FOLDER, adapter=adapter, wav2vec=folder / _SPEECH_FOLDER
    )


def main(arguments: list[str] | None = None) -> int:
    """Make a checkpoint where the command line says and print where its parts lie."""
    parser = argparse.ArgumentParser(prog="python -m itk_engine.tiny", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    files = make_checkpoint(chosen.folder, seed=chosen.seed)
    sys.stdout.write(
        f"CKPT_DIR={files.base}\nINFINITETALK_DIR={files.adapter}\nWAV2VEC_DIR={files.wav2vec}\n"
    )
    return 0


def _write_transformer(files: CheckpointFiles, dit: DiT, dtype: torch.dtype) -> None:
    from safetensors.torch import save_file

    state = _state(dit, dtype)
    adapter = {name: value for name, value in state.items() if layout.is_adapters(name)}
    base = [name for name in state if name not in adapter]
    for shard in range(SHARDS):
        names = base[len(base) * shard // SHARDS : len(base) * (shard + 1) // SHARDS]
        file = f"diffusion_pytorch_model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        save_file({name: state[name] for name in names}, files.base / file)
    assert files.adapter is not None
    for kind in layout.ADAPTER_KINDS:
        file = files.adapter.parents[1] / kind / layout.ADAPTER_FILE
        file.parent.mkdir(exist_ok=True)
        save_file(adapter, file)
    config = {**attrs.asdict(dit.config), "bucket_scale": BUCKET_SCALE}
    described = {"_class_name": "WanModel", "_name_or_path": NAME, **config}
    _write_json(files.base / layout.CONFIG_FILE, described)


def _write_speech_encoder(folder: Path, model: SpeechEncoder, dtype: torch.dtype) -> None:
    from safetensors.torch import save_file

    config = attrs.asdict(model.config)
    normalise = config.pop("do_normalize")
    described = {"architectures": ["Wav2Vec2Model"], "model_type": "wav2vec2", **config}
    _write_json(folder / "config.json", described)
    _write_json(
        folder / "preprocessor_config.json",
        {
            "do_normalize": normalise,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_value": 0.0,
            "return_attention_mask": False,
            "sampling_rate": 16000,
        },
    )
    save_file(_state(model, dtype), folder / "model.safetensors")


def make_tokenizer(folder: Path, *, tokens: int) -> None:
    """Write a tokenizer whose tokens are bytes: any text can be said with it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*_SPECIAL_TOKENS, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad_token", "eos_token", "unk_token"), _SPECIAL_TOKENS, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": tokens, **names}
    _write_json(folder / "tokenizer_config.json", settings)


def _fill_randomly(model: nn.Module, generator: torch.Generator) -> None:
    values = {
        name: _random(name, tuple(tensor.shape), generator)
        for name, tensor in model.state_dict().items()
    }
    for name, value in values.items():
        if name.endswith("weight_g"):
            direction = values[name.replace("weight_g", "weight_v")]
            value.copy_(direction.norm(dim=(0, 1), keepdim=True))
    model.load_state_dict(values, strict=True, assign=True)


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Keep variances near one: scales are one, biases zero, matrices normal over their inputs."""
    if name.endswith("gamma") or (len(shape) == 1 and name.endswith("weight")):
        return torch.ones(shape)
    if len(shape) == 1:
        return torch.zeros(shape)
    inputs = shape[-1] if name.endswith(("embedding", "modulation", "head")) else 1
    inputs = max(inputs, int(torch.tensor(shape[1:]).prod()))
    return torch.randn(shape, generator=generator) * inputs**-0.5


def _state(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in model.state_dict().items()
    }


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
