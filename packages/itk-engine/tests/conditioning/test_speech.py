"""Speech becomes one row of features for each frame of the video."""

from itertools import pairwise
from pathlib import Path

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itk_engine.conditioning import SpeechConfig, SpeechEncoder, windows
from itk_engine.conditioning.stretches import Stretches, convolve_in_blocks
from itk_engine.conditioning.wav2vec import FeatureExtractor
from itk_engine.parity.stretches import deviation, main
from itk_engine.tiny import make_checkpoint
from itk_media import Waveform, write_track

SMALL = SpeechConfig(
    conv_dim=(8,) * 7,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    num_conv_pos_embeddings=8,
    num_conv_pos_embedding_groups=2,
)


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    """Give a small random encoder."""
    torch.manual_seed(0)
    return SpeechEncoder(SMALL).eval()


def speech(seconds: float) -> torch.Tensor:
    """Give noise whose loudness rises and falls, at 16 kHz."""
    count = round(seconds * 16000)
    noise = torch.randn(count, generator=torch.Generator().manual_seed(1))
    return noise * torch.sin(torch.arange(count) / 3000)


@pytest.mark.parametrize(("samples", "frames"), [(16000, 25), (20480, 32), (11111, 17)])
def test_there_is_a_row_for_each_frame(encoder: SpeechEncoder, samples: int, frames: int) -> None:
    """int(seconds · 25) rows of every layer's features."""
    assert encoder.embed(speech(samples / 16000)).shape == (frames, 2, 8)


def test_loudness_does_not_matter(encoder: SpeechEncoder) -> None:
    """A speech is brought to unit variance before it is heard."""
    torch.testing.assert_close(
        encoder.embed(speech(1)), encoder.embed(0.1 * speech(1)), rtol=1e-3, atol=1e-3
    )


def test_long_speech_is_heard_in_overlapping_stretches(encoder: SpeechEncoder) -> None:
    """The features of stretches deviate little from those of the whole."""
    long = speech(12)
    whole = encoder.embed(long)
    parts = encoder.embed(long, stretches=Stretches(whole_seconds=5, seconds=4, overlap_seconds=1))
    assert parts.shape == whole.shape
    deviation = (parts - whole).square().mean().sqrt() / whole.std()
    assert deviation < 0.1


def test_over_two_minutes_the_deviation_is_small(encoder: SpeechEncoder) -> None:
    """Two and a half minutes in stretches: no frame is far from the whole, joins included."""
    found = deviation(encoder, speech(150).numpy())
    assert found.overall < 0.05
    assert found.worst_frame < 0.15


def test_the_deviation_of_a_checkpoint_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has the published weights measures them with one command."""
    files = make_checkpoint(tmp_path)
    write_track(Waveform(samples=speech(2).numpy()), tmp_path / "speech.wav")
    assert main([str(files.wav2vec), str(tmp_path / "speech.wav")]) == 0
    assert "by 0.00% of the features' standard deviation" in capsys.readouterr().out


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_convolutions_in_blocks_are_those_of_the_whole(norm: str) -> None:
    """Neither a seam nor a block's own loudness shows."""
    torch.manual_seed(0)
    config = attrs.evolve(SMALL, feat_extract_norm=norm)
    extractor = FeatureExtractor(config).eval()
    long = speech(3.017) * torch.linspace(0.2, 2, round(3.017 * 16000))
    with torch.inference_mode():
        whole = extractor(long[None, None])
        for block_samples in (320, 7000, 16000, 10**6):
            blocks = convolve_in_blocks(extractor, long, block_samples=block_samples)
            torch.testing.assert_close(blocks, whole, rtol=1e-4, atol=1e-4)


@given(frames=st.integers(1, 4000))
def test_stretches_cover_a_speech_evenly(frames: int) -> None:
    """All are of one length, and each overlaps with the one before by what was asked."""
    stretches = Stretches(whole_seconds=0, seconds=12, overlap_seconds=2).of(frames)
    assert stretches[0][0] == 0
    assert stretches[-1][1] == frames
    assert {stop - start for start, stop in stretches} == {min(300, frames)}
    for (_, before), (start, _) in pairwise(stretches):
        assert before - start >= 49


def test_features_take_at_most_a_megabyte_a_second() -> None:
    """Twelve layers of 768 numbers, 25 times a second: the only thing that grows with length."""
    with torch.device("meta"):
        published = SpeechEncoder()
        features = published(torch.empty(1, 16000), 25)[0]
    assert features.shape == (25, 12, 768)
    assert features.nbytes <= 1_000_000


@pytest.mark.parametrize("seconds", [5.04, 6.0, 7.0, 7.04, 8.0])
def test_stretches_leave_no_frame_out(encoder: SpeechEncoder, seconds: float) -> None:
    """However the last stretch falls, there is a row for each frame."""
    stretches = Stretches(whole_seconds=5, seconds=4, overlap_seconds=1)
    assert len(encoder.embed(speech(seconds), stretches=stretches)) == int(seconds * 25)


def test_gradients_reach_the_convolutions(encoder: SpeechEncoder) -> None:
    """The encoder can be trained."""
    encoder(speech(0.5)[None], 12).square().mean().backward()
    used = {name for name, p in encoder.named_parameters() if p.grad is not None}
    unused = {name for name, _ in encoder.named_parameters()} - used
    assert unused == {"masked_spec_embed"}
    encoder.zero_grad()


def test_windows_stop_at_the_ends() -> None:
    """Two rows before and after each frame; beyond the ends the outermost row again."""
    rows = torch.arange(4.0).view(4, 1, 1)
    assert windows(rows, 2, 2)[..., 0, 0].tolist() == [[0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]


@pytest.mark.parametrize("value", ["relu", "swish"])
def test_other_activations_are_refused(value: str) -> None:
    """A configuration that this model does not compute is an error."""
    with pytest.raises(ValueError, match="hidden_act"):
        SpeechConfig.from_mapping({"hidden_act": value, "vocab_size": 32})


@pytest.mark.long
@pytest.mark.parametrize("stable", [True, False])
def test_the_published_library_hears_the_same(*, stable: bool) -> None:
    """Both norm styles give the hidden states of transformers' model, bar the interpolation."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    settings = {
        "conv_dim": [8] * 7,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "do_stable_layer_norm": stable,
        "feat_extract_norm": "layer" if stable else "group",
        "conv_bias": stable,
    }
    theirs = Wav2Vec2Model(Wav2Vec2Config(**settings)).eval()
    ours = SpeechEncoder(SpeechConfig.from_mapping(settings)).eval()
    names = {"original0": "weight_g", "original1": "weight_v"}
    state = {}
    for name, value in theirs.state_dict().items():
        stem, _, last = name.rpartition(".")
        state[
            f"{stem.removesuffix('.parametrizations.weight')}.{names.get(last, last)}".lstrip(".")
        ] = value
    ours.load_state_dict(state)
    samples = speech(1)[None]
    expected = theirs(samples, output_hidden_states=True)
    heard = ours(samples, expected.last_hidden_state.shape[1])
    torch.testing.assert_close(heard[:, :, -1], expected.last_hidden_state, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(heard[:, :, 0], expected.hidden_states[1], rtol=1e-4, atol=1e-5)
