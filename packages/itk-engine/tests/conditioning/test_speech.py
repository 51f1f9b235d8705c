"""Speech becomes one row of features for each frame of the video."""

import pytest
import torch

from itk_engine.conditioning import SpeechConfig, SpeechEncoder, windows
from itk_engine.conditioning.speech import Stretches

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
