"""Whatever a damaged download is, the error says which file it is."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from itk_engine.conditioning import read_tokenizer
from itk_engine.config import CheckpointFiles, Lora
from itk_engine.errors import (
    EngineError,
    MissingWeightsError,
    WeightsMismatchError,
    WeightsUnreadableError,
)
from itk_engine.tiny import TinyModels, TinySizes, write_checkpoint
from itk_engine.weights import read_entries, read_models, read_transformer

CPU = torch.device("cpu")
NONSENSE = {
    "nothing": b"",
    "a web page": b"<html>404 not found</html>",
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
    "zeros": bytes(4096),
    "a number": pickle.dumps(5, protocol=2),
    "a list": b"[1, 2]",
}
PARTS = (
    "Wan2.1_VAE.pth",
    "models_t5_umt5-xxl-enc-bf16.pth",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    "config.json",
    "google/umt5-xxl/tokenizer.json",
    "diffusion_pytorch_model-00002-of-00007.safetensors",
)


@pytest.fixture(scope="module")
def files(smallest: TinySizes, tmp_path_factory: pytest.TempPathFactory) -> CheckpointFiles:
    """Give a checkpoint; whoever damages a file of it puts it right again."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), TinyModels.random(smallest))


@pytest.fixture
def damaged(files: CheckpointFiles, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give the path of one part, whose content comes back after the test."""
    path = files.base / request.param
    content = path.read_bytes()
    yield path
    path.write_bytes(content)


@pytest.mark.parametrize("damaged", PARTS, indirect=True)
@pytest.mark.parametrize("kind", NONSENSE)
def test_a_file_of_something_else_is_named(
    files: CheckpointFiles, damaged: Path, kind: str
) -> None:
    """An empty file, a web page in its place or half an upload is our error, with the path."""
    damaged.write_bytes(NONSENSE[kind])
    with pytest.raises(EngineError) as caught:
        read_models(files, device=CPU, dtype=torch.float32)
    assert damaged.name in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch wonders at what it reads
@pytest.mark.parametrize("damaged", PARTS[:3], indirect=True)
def test_flipped_bytes_of_a_pickle_never_surprise(damaged: Path) -> None:
    """Damage within a file is our error, or, where it hit values alone, none."""
    content, draw = damaged.read_bytes(), np.random.default_rng(0)
    for count in (1, 1, 2, 20) * 15:
        broken = bytearray(content)
        for place in draw.integers(0, 4000, count):
            broken[place] = draw.integers(256)
        damaged.write_bytes(bytes(broken))
        try:
            read_entries(damaged, what="part")
        except EngineError as error:
            assert str(damaged) in str(error)  # noqa: PT017  most damage is an error, not all


def test_a_folder_that_holds_no_tokenizer_is_named(tmp_path: Path) -> None:
    """Where even the larger library finds nothing to read."""
    with pytest.raises(WeightsUnreadableError, match=tmp_path.name):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_complete_file_needs_no_adapter(
    files: CheckpointFiles, tmp_path: Path, ending: str
) -> None:
    """One file with the whole transformer, also as a pickle under "state_dict"; shards or not."""
    from safetensors.torch import save_file

    whole, _, _ = read_transformer(files, device=CPU, dtype=torch.float32)
    state = {name: value + 1 for name, value in whole.state_dict().items()}
    complete = tmp_path / f"complete{ending}"
    if ending == ".pth":
        torch.save({"state_dict": state}, complete)
    else:
        save_file(state, complete)
    (tmp_path / "config.json").write_bytes((files.base / "config.json").read_bytes())
    for base in (tmp_path, files.base):
        given = attrs.evolve(files, base=base, adapter=complete)
        read, _, _ = read_transformer(given, device=CPU, dtype=torch.float32)
        assert all(torch.equal(value, state[name]) for name, value in read.state_dict().items())


def test_paths_may_be_strings(files: CheckpointFiles) -> None:
    """As whoever writes the first line of a script writes them."""
    as_text = CheckpointFiles(
        base=str(files.base),
        adapter=str(files.adapter),
        wav2vec=str(files.wav2vec),
        loras=(Lora(path="nowhere.safetensors"),),
    )
    assert attrs.evolve(as_text, loras=()) == files
    with pytest.raises(MissingWeightsError, match=r"LoRA not found: nowhere\.safetensors"):
        read_transformer(as_text, device=CPU, dtype=torch.float32)
    assert CheckpointFiles(base="a", wav2vec="b", quantised="q").quantised == Path("q")


def test_a_base_that_lacks_a_key_is_named(files: CheckpointFiles, tmp_path: Path) -> None:
    """What no shard holds is missed in the shards, not in the adapter or the folder."""
    from safetensors.torch import save_file

    assert files.adapter is not None
    entries = read_entries(files.adapter, what="adapter")
    lone = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file({"head.modulation": torch.zeros(1, 2, 24)}, lone)
    (tmp_path / "config.json").write_bytes((files.base / "config.json").read_bytes())
    with pytest.raises(
        WeightsMismatchError, match=r"diffusion_pytorch_model\*.*, \.\.\.\)"
    ) as info:
        read_transformer(attrs.evolve(files, base=tmp_path), device=CPU, dtype=torch.float32)
    assert not set(info.value.missing) & set(entries)
