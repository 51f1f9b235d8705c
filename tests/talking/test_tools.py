"""The tools that make and measure the small model tell the truth."""

from __future__ import annotations

import json

import clips
import encoded
import export
import make_voices
import meter
import pytest
import sounds
import torch
import vae
from measure import FIRST_FACE, HELD_OUT, HERE

from itk_engine.tiny import TinyModels
from itk_engine.vae import VAE


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    """Three held-out voices, 2 s each."""
    corpus = sounds.Corpus.load(HERE / "held_out.ogg")
    return torch.stack([corpus.samples[s + 16000 : s + 48000] for s in corpus.starts[:3]])


def test_the_meter_reads_drawn_mouths(speech: torch.Tensor) -> None:
    """What geometry reads from drawn pixels follows the opening that was drawn."""
    frames = 40
    opening, spread = sounds.mouth(speech, frames)
    drawn = clips.scene(
        [(FIRST_FACE + i,) for i in range(3)], size=(128, 128), kind="later",
        opening=opening[:, None], spread=spread[:, None],
    )  # fmt: skip
    video, still, boxes = drawn.video(), drawn.portrait(), drawn.places("mouth")
    tracks = [meter.opening(video[i], still[i], boxes[i, 0]) for i in range(3)]
    scores = [meter.correlation(track, opening[i]) for i, track in enumerate(tracks)]
    assert sorted(scores)[1] >= 0.995
    assert min(scores) >= 0.985
    assert [meter.best_lag(track, opening[i]) for i, track in enumerate(tracks)] == [0, 0, 0]


def test_mouths_follow_loudness_and_rest_in_silence(speech: torch.Tensor) -> None:
    """The truth rises with loudness, whatever the recording's level, and is 0 in silence."""
    opening, _ = sounds.mouth(speech, 50)
    louder, _ = sounds.mouth(speech * 10, 50)
    assert torch.allclose(opening, louder, atol=1e-3)
    assert meter.correlation(opening[0], sounds.loudness(speech, 50)[0]) > 0.97
    assert float(sounds.mouth(torch.zeros(1, 32000), 50)[0].abs().max()) == 0


def test_the_first_frame_of_a_first_chunk_is_the_portrait() -> None:
    """A clip that starts a video starts with the very picture that the model is given."""
    opening = torch.full((2, 1, 3), 0.5)
    drawn = clips.scene(
        [(FIRST_FACE,), (FIRST_FACE + 1,)],
        size=(64, 64),
        kind="first",
        opening=opening,
        spread=opening,
    )
    assert torch.equal(drawn.video()[:, 0], drawn.portrait())


def test_held_out_faces_and_voices_are_never_trained_on() -> None:
    """Seeds and names that were set aside lie outside what training draws from."""
    faces, below = HELD_OUT["face_seeds"], HELD_OUT["training_face_seeds"]["below"]
    largest = 400_000 + sum(people * count for _, people, count, _, _ in encoded.POOLS)
    assert max(largest, 2 * sum(row[2] for row in vae.POOLS)) < below <= faces["first"]
    assert not set(HELD_OUT["variants_never_trained"]) & set(make_voices.VARIANTS)
    stored = [entry["voice"] for entry in json.loads((HERE / "held_out.json").read_text())]
    assert stored == HELD_OUT["voices"]


def test_training_pieces_are_the_engines_autoencoder() -> None:
    """The fused form that training runs gives the engine's numbers, forwards and backwards."""
    torch.manual_seed(0)
    video = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    gradients, outputs = [], []
    model = VAE(vae.CONFIG)
    for fused in (False, True):
        if fused:
            vae.quick(model, compiled=False)
        model.zero_grad()
        rebuilt = vae.decode_open(model, model.encode(video, latents_per_piece=9))
        rebuilt.square().mean().backward()
        outputs.append(rebuilt.detach())
        gradients.append(model.encoder.downsamples[0].residual["2"].weight.grad.clone())
    assert torch.allclose(outputs[0], outputs[1], atol=1e-4)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)


def test_a_fresh_encoder_is_the_best_linear_code_of_patches() -> None:
    """Before any training, 16 numbers of unit size already tell most of an 8 x 8 patch."""
    opening = torch.rand(40, 1, 1)
    seeds = [(i,) for i in range(40)]
    drawn = clips.scene(seeds, size=(128, 128), kind="later", opening=opening, spread=opening)
    pictures = drawn.video()[:, 0] * 2 - 1
    model = vae.make()
    vae.start_from_patches(model, pictures)
    with torch.inference_mode():
        codes = vae.encode_open(model, pictures[:, :, None])[:, :, 0]
    assert 0.7 < float(codes.std()) < 1.3
    codes = torch.cat([codes, torch.ones_like(codes[:, :1])], 1).movedim(1, -1).flatten(0, 2)
    patches = torch.nn.functional.unfold(pictures, 8, stride=8).movedim(1, 2).flatten(0, 1)
    readout = torch.linalg.lstsq(codes, patches).solution
    error = (codes @ readout - patches).square().mean() / 4
    assert -10 * float(error.log10()) > 25


def test_own_latent_statistics_are_folded_into_published_ones() -> None:
    """The exported autoencoder, which knows Wan's statistics only, gives our normalised latents."""
    torch.manual_seed(1)
    trained = VAE(vae.CONFIG)
    mean, std = torch.randn(16) * 0.3, torch.rand(16) + 0.2
    published = TinyModels.random(export.SIZES).vae
    export.fold(trained, published, mean=mean, std=std)
    video = torch.rand(3, 5, 16, 16) * 2 - 1
    shape = (16, 1, 1, 1)
    with torch.inference_mode():
        ours = (trained.encode(video) - mean.view(shape)) / std.view(shape)
        theirs = published.encode(video)
        assert torch.allclose(ours, theirs, atol=1e-4)
        back = trained.decode(ours * std.view(shape) + mean.view(shape))
        assert torch.allclose(back, published.decode(theirs), atol=1e-4)
