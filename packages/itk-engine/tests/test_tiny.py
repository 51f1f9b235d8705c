"""The tiny checkpoint is made in the published layout, the same for the same seed."""

from pathlib import Path

import torch

from itk_engine import tiny
from itk_engine.weights import read_entries, transformer_files


def test_the_files_have_their_published_names(tmp_path: Path) -> None:
    """Seven shards, three pickles, a tokenizer, both adapters and the speech encoder's folder."""
    files = tiny.make_checkpoint(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    base = "Wan2.1-I2V-14B-480P"
    shards = {f"{base}/diffusion_pytorch_model-{n:05}-of-00007.safetensors" for n in range(1, 8)}
    assert names >= shards | {
        f"{base}/config.json",
        f"{base}/models_t5_umt5-xxl-enc-bf16.pth",
        f"{base}/models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
        f"{base}/Wan2.1_VAE.pth",
        f"{base}/google/umt5-xxl/tokenizer.json",
        "InfiniteTalk/single/infinitetalk.safetensors",
        "InfiniteTalk/multi/infinitetalk.safetensors",
        "chinese-wav2vec2-base/config.json",
        "chinese-wav2vec2-base/preprocessor_config.json",
        "chinese-wav2vec2-base/model.safetensors",
    }
    assert files == tiny.checkpoint_files(tmp_path)
    assert len(transformer_files(files)) == 8
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) < 25e6


def test_the_seed_decides_the_weights() -> None:
    """Equal seeds give equal weights, other seeds other ones."""
    first, again, other = (tiny.TinyModels.random(seed=seed) for seed in (1, 1, 2))
    for name, value in first.dit.state_dict().items():
        assert torch.equal(value, again.dit.state_dict()[name])
    weight = first.dit.blocks[0].self_attn.q.weight
    assert not torch.equal(weight, other.dit.blocks[0].self_attn.q.weight)


def test_the_command_says_where_the_parts_lie(tmp_path: Path, capsys) -> None:
    """Its output can be put into the environment as it is."""
    assert tiny.main([str(tmp_path), "--seed", "4"]) == 0
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["CKPT_DIR", "INFINITETALK_DIR", "WAV2VEC_DIR"]
    assert all(Path(path).exists() for path in lines.values())
    assert read_entries(Path(lines["INFINITETALK_DIR"]), what="adapter")
