"""Checkpoints are read strictly, and what is wrong with one is said by name."""

import json
import pickle
import shutil
from pathlib import Path

import attrs
import pytest
import torch
from safetensors.torch import load_file, save_file

from itk_engine.config import CheckpointFiles
from itk_engine.errors import MissingWeightsError, WeightsMismatchError, WeightsUnreadableError
from itk_engine.tiny import TinyModels, TinySizes, write_checkpoint
from itk_engine.weights import (
    adapter_file,
    read_entries,
    read_models,
    read_speech_encoder,
    read_transformer,
    read_vae,
    transformer_files,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(smallest: TinySizes) -> TinyModels:
    """Give the smallest models that fit each other."""
    return TinyModels.random(smallest, seed=3)


@pytest.fixture(scope="module")
def written(models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> CheckpointFiles:
    """Give the files of a written checkpoint, which nobody changes."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), models, dtype=torch.float32)


@pytest.fixture
def files(written: CheckpointFiles, tmp_path: Path) -> CheckpointFiles:
    """Give a copy of the checkpoint that a test may damage."""
    root = written.base.parent
    shutil.copytree(root, tmp_path / "copy")
    return CheckpointFiles(
        base=tmp_path / "copy" / written.base.relative_to(root),
        adapter=tmp_path / "copy" / written.adapter.relative_to(root),
        wav2vec=tmp_path / "copy" / written.wav2vec.relative_to(root),
    )


def dit_of(files: CheckpointFiles):
    """Read the transformer on the CPU in float32."""
    return read_transformer(files, device=CPU, dtype=torch.float32)


def test_what_was_written_is_what_is_read(written: CheckpointFiles, models: TinyModels) -> None:
    """Every tensor comes back, from seven shards, an adapter, three pickles and a folder."""
    phases: list[str] = []
    read = read_models(written, device=CPU, dtype=torch.float32, on_phase=phases.append)
    pairs = (
        (read.dit, models.dit),
        (read.vae, models.vae),
        (read.text.model, models.text),
        (read.clip, models.clip),
        (read.speech, models.speech),
    )
    for ours, theirs in pairs:
        wanted = theirs.state_dict()
        assert ours.state_dict().keys() == wanted.keys()
        assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())
    assert read.info.name == "tiny"
    assert read.bucket_scale == 0.2
    assert phases[0] == "transformer"
    assert len(phases) == 5


def test_the_identity_follows_the_content(files: CheckpointFiles) -> None:
    """Other weights of the same shapes have another identity, the same ones the same."""
    first = dit_of(files)[2].weights
    assert dit_of(files)[2].weights == first
    state = load_file(files.adapter)
    state["audio_proj.norm.weight"] += 1
    save_file(state, files.adapter)
    assert dit_of(files)[2].weights != first


def test_a_missing_shard_is_named(files: CheckpointFiles) -> None:
    """The error names the shard's path and the variable that points to it."""
    shard = files.base / "diffusion_pytorch_model-00003-of-00007.safetensors"
    shard.unlink()
    with pytest.raises(MissingWeightsError, match=r"CKPT_DIR.*00003-of-00007"):
        dit_of(files)


@pytest.mark.parametrize(
    ("lost", "variable"),
    [("adapter", "INFINITETALK_DIR"), ("wav2vec", "WAV2VEC_DIR"), ("base", "CKPT_DIR")],
)
def test_a_missing_part_names_its_variable(written, tmp_path, lost, variable) -> None:
    """Whoever set a wrong path reads which variable it was."""
    files = attrs.evolve(written, **{lost: tmp_path / "nowhere"})
    with pytest.raises(MissingWeightsError, match=variable):
        read_models(files, device=CPU, dtype=torch.float32)


def test_the_adapter_may_be_a_folder(written: CheckpointFiles) -> None:
    """A folder with single/ and multi/ is as good as a file; single is taken first."""
    assert adapter_file(written.adapter.parents[1]) == written.adapter
    assert transformer_files(written)[-1] == written.adapter


def test_a_missing_key_names_the_file_it_belongs_to(files: CheckpointFiles) -> None:
    """What InfiniteTalk adds is missed in its own file."""
    state = load_file(files.adapter)
    del state["blocks.0.audio_cross_attn.proj.bias"]
    save_file(state, files.adapter)
    with pytest.raises(WeightsMismatchError) as caught:
        dit_of(files)
    assert caught.value.file == files.adapter
    assert caught.value.missing == ("blocks.0.audio_cross_attn.proj.bias",)


def test_unexpected_and_misshapen_keys_are_errors(files: CheckpointFiles) -> None:
    """Nothing is silently left out, nothing silently stretched."""
    state = load_file(files.adapter)
    state["blocks.7.norm_x.weight"] = torch.zeros(24)
    state["audio_proj.norm.weight"] = torch.zeros(5)
    save_file(state, files.adapter)
    with pytest.raises(WeightsMismatchError, match=r"blocks\.7\.norm_x") as caught:
        dit_of(files)
    assert caught.value.misshapen == ("audio_proj.norm.weight: needed [96], came [5]",)


def test_the_adapter_overrides_the_base(files: CheckpointFiles) -> None:
    """Of equal names the adapter's wins, as in the published pipeline."""
    state = load_file(files.adapter)
    state["head.modulation"] = torch.full((1, 2, 24), 7.0)
    save_file(state, files.adapter)
    assert dit_of(files)[0].head.modulation.mean() == 7


def test_pickles_run_nothing(files: CheckpointFiles) -> None:
    """A pickle that asks for code is refused, not run."""
    vae = files.base / "Wan2.1_VAE.pth"
    vae.write_bytes(pickle.dumps({"x": Path("/")}, protocol=2))
    with pytest.raises(WeightsUnreadableError, match=r"Wan2\.1_VAE\.pth"):
        read_vae(vae, device=CPU)


@pytest.mark.parametrize("old", [True, False])
def test_pickles_of_both_formats_are_read(files: CheckpointFiles, *, old: bool) -> None:
    """The zip format is mapped, the one before it read whole; a state_dict entry is looked into."""
    vae = files.base / "Wan2.1_VAE.pth"
    state = torch.load(vae, weights_only=True)
    torch.save({"state_dict": state}, vae, _use_new_zipfile_serialization=not old)
    assert read_entries(vae, what="vae").keys() == state.keys()


def test_truncated_files_are_unreadable(files: CheckpointFiles) -> None:
    """Half a download is told from a wrong one."""
    adapter = files.adapter
    adapter.write_bytes(adapter.read_bytes()[:5000])
    with pytest.raises(WeightsUnreadableError, match="infinitetalk"):
        dit_of(files)


def test_unknown_configuration_is_refused(files: CheckpointFiles) -> None:
    """A key that this model does not know may change what it should compute."""
    config = files.base / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "window": 3}))
    with pytest.raises(WeightsUnreadableError, match="window"):
        dit_of(files)


def test_speech_weights_may_come_from_their_own_training(files: CheckpointFiles) -> None:
    """The prefix, heads and newer names of the position's weight norm are understood."""
    weights = files.wav2vec / "model.safetensors"
    state = load_file(weights)
    before = read_speech_encoder(files.wav2vec).state_dict()
    new = {"weight_g": "parametrizations.weight.original0"}
    new["weight_v"] = "parametrizations.weight.original1"
    renamed = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        renamed[f"wav2vec2.{stem}.{new.get(last, last)}".replace("..", ".")] = value
    del renamed["wav2vec2.masked_spec_embed"]
    save_file({**renamed, "project_q.weight": torch.zeros(2)}, weights)
    after = read_speech_encoder(files.wav2vec).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)
    assert before.keys() - after.keys() == {"masked_spec_embed"}
