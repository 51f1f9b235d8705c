"""What an endpoint has loaded, what jobs may name of it, what they are told."""

from pathlib import Path

import pytest
from attrs import evolve
from worker_fakes import job_input

from itk_engine import CheckpointFiles
from itk_schema import parse_input, resolve_parameters
from itk_worker.offers import NotOfferedError, Offers
from itk_worker.settings import Settings, SettingsError
from itk_worker.weights import WeightsError, find_checkpoint, offers_of

FAST = Offers(loras=("lightx2v",))


def require(offers, **job):
    """Ask an endpoint for a job."""
    parsed = parse_input(job_input(**job))
    offers.require(parsed, resolve_parameters(parsed))
    return offers.warnings(parsed)


@pytest.mark.parametrize(
    ("offers", "job", "words"),
    [
        (Offers(), {"preset": "fast-4"}, ("input.preset", "no LoRA", "needs LoRA lightx2v")),
        (FAST, {"preset": "fast-8"}, ("input.preset", "LoRA lightx2v merged", "LoRA fusionx")),
        (FAST, {"loras": ["mine"]}, ("input.loras", "lightx2v", "got LoRA mine")),
        (FAST, {"loras": []}, ("input.loras", "lightx2v", "got no LoRA")),
        (Offers(), {"quant": "fp8"}, ("input.quant", "no quantised weights", "got fp8")),
        (Offers(quant="int8"), {"quant": "fp8"}, ("input.quant", "has int8", "got fp8")),
        (
            Offers(quant="int8", quant_names=("model.safetensors",)),
            {"quant": "int8", "quant_dir": "/other"},
            ("input.quant_dir", "model.safetensors", "/other"),
        ),
    ],
    ids=["none", "another", "unknown", "unmerged", "unquantised", "kind", "file"],
)
def test_a_job_that_names_other_weights_is_told_what_the_endpoint_has(offers, job, words):
    """Field, what is loaded and what came are in the sentence."""
    with pytest.raises(NotOfferedError) as caught:
        require(offers, **job)
    for word in words:
        assert word in str(caught.value)


def test_a_job_that_names_what_is_loaded_passes_without_a_word():
    """By preset, by name, by kind."""
    quantised = Offers(quant="int8", quant_names=("model.safetensors",))
    assert require(FAST, preset="fast-4") == ()
    assert require(FAST, loras=["lightx2v"]) == ()
    assert require(Offers(), preset="quality") == ()
    assert require(quantised, quant="int8", quant_dir="model.safetensors") == ()
    assert require(quantised) == ()


def test_a_job_that_names_no_lora_is_made_with_the_endpoints_and_told():
    """The warning names the LoRA and the preset that goes with it."""
    (warning,) = require(FAST)
    assert "LoRA lightx2v" in warning
    assert "preset fast-4" in warning
    assert "LoRA lightx2v" in require(FAST, preset="quality")[0]


def test_two_speakers_with_the_adapter_for_one_are_warned():
    """They are made, since names and shapes agree, and the result says with what."""
    two = {"person1": "https://a.example/1.wav", "person2": "https://a.example/2.wav"}
    (warning,) = require(Offers(adapter="single"), cond_audio=two)
    assert "multi" in warning
    assert require(Offers(adapter="multi"), cond_audio=two) == ()
    assert require(Offers(adapter="single")) == ()


def test_loras_are_named_with_files_and_scales():
    """Commas separate them; a scale may be left out; what is wrong is said."""
    read = Settings.from_environment
    first, second = read({"ITK_LORAS": "a=/x/a.safetensors:0.5, b=/x/b:c.safetensors"}).loras
    assert (first.name, first.path, first.scale) == ("a", Path("/x/a.safetensors"), 0.5)
    assert (second.path, second.scale) == (Path("/x/b:c.safetensors"), 1.0)
    for wrong in ("a", "a=relative.safetensors", "=/x", "a=/x,a=/y", "a b=/x"):
        with pytest.raises(SettingsError, match="ITK_LORAS"):
            read({"ITK_LORAS": wrong})


@pytest.fixture
def folders(tmp_path):
    """Settings for a base, a speech encoder and an adapter folder with nothing in it."""
    for name in ("base", "wav2vec", "adapter"):
        (tmp_path / name).mkdir()
    return Settings(
        ckpt_dir=tmp_path / "base",
        wav2vec_dir=tmp_path / "wav2vec",
        infinitetalk_dir=tmp_path / "adapter",
    )


def adapter(settings, kind):
    """Put an adapter file of this kind into the folder."""
    file = settings.infinitetalk_dir / kind / "infinitetalk.safetensors"
    file.parent.mkdir()
    file.touch()
    return file


def test_the_adapter_is_the_wanted_one_or_the_one_that_is_there(folders):
    """Single comes first, multi where only that exists, ITK_ADAPTER decides."""
    multi = adapter(folders, "multi")
    assert find_checkpoint(folders)[0].adapter == multi
    with pytest.raises(WeightsError, match="single/infinitetalk"):
        find_checkpoint(evolve(folders, adapter="single"))
    single = adapter(folders, "single")
    assert find_checkpoint(folders)[0].adapter == single
    assert find_checkpoint(evolve(folders, adapter="multi"))[0].adapter == multi
    one = evolve(folders, infinitetalk_dir=multi)
    assert find_checkpoint(one)[0].adapter == multi
    assert offers_of(find_checkpoint(one)[0], one, precision="bfloat16").adapter == "multi"


def test_configured_loras_are_merged_by_the_engine_or_named_as_missing(folders, tmp_path):
    """A file that is not there stops the start; with a quantised file they exclude each other."""
    adapter(folders, "single")
    file = tmp_path / "a.safetensors"
    named = Settings.from_environment({"ITK_LORAS": f"a={file}:0.5"}).loras
    wanted = evolve(folders, loras=named)
    with pytest.raises(WeightsError, match=r"a as .*a\.safetensors"):
        find_checkpoint(wanted)
    file.touch()
    (lora,) = find_checkpoint(wanted)[0].loras
    assert (lora.path, lora.scale) == (file, 0.5)
    with pytest.raises(WeightsError, match="QUANT_DIR"):
        find_checkpoint(evolve(wanted, quant_dir=tmp_path))


def test_a_quantised_file_is_offered_by_its_kind_and_names(tmp_path):
    """Quantising at load is offered as fp8."""
    file = tmp_path / "quant" / "single.safetensors"
    files = CheckpointFiles(base=tmp_path, wav2vec=tmp_path, quantised=file)
    offers = offers_of(files, Settings(quant_dir=file.parent), precision="int8")
    assert offers.quant == "int8"
    assert offers.quant_names == ("single.safetensors", str(file), "quant", str(file.parent))
    at_load = offers_of(evolve(files, quantised=None), Settings(fp8="always"), precision="bfloat16")
    assert (at_load.quant, at_load.quant_names) == ("fp8", ())
