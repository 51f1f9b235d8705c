"""The engine as its callers use it, on models of a few dimensions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from attrs import evolve

from itk_engine.engine import Engine, EngineConfig
from itk_engine.errors import InvalidRequestError, NotFiniteError, SpeechTooShortError
from itk_engine.preparation import prompts_of
from itk_engine.request import GenerationProgress, GenerationRequest
from itk_engine.tiny import make_checkpoint
from itk_media import Waveform

MakeRequest = Callable[..., GenerationRequest]


def video_of(engine: Engine, request: GenerationRequest) -> np.ndarray:
    """Return the whole video [F, H, W, 3]."""
    return np.concatenate([chunk.frames for chunk in engine.generate(request)])


@pytest.mark.parametrize(
    ("seconds", "changes", "frames", "chunks"),
    [
        (0.6, {}, 15, 3),
        (0.6, {"max_frame_num": 10}, 10, 2),
        (0.6, {"mode": "clip"}, 9, 1),
        (0.4, {"frame_num": 21}, 10, 1),
        (0.5, {"speakers": 2}, 12, 2),
        (0.5, {"speakers": 2, "audio_type": "add"}, 25, 5),
    ],
)
def test_the_video_is_as_long_as_what_was_prepared(
    engine: Engine,
    request_of: MakeRequest,
    *,
    seconds: float,
    changes: dict[str, Any],
    frames: int,
    chunks: int,
) -> None:
    """Chunk after chunk gives every frame of the speech, in the size that was announced."""
    prepared = engine.prepare(request_of(seconds=seconds, **changes))
    made = list(engine.generate(prepared))
    assert (prepared.frames, prepared.chunks) == (frames, chunks)
    assert [chunk.index for chunk in made] == list(range(chunks))
    video = np.concatenate([chunk.frames for chunk in made])
    assert video.shape == (frames, prepared.height, prepared.width, 3)
    assert video.dtype == np.uint8
    assert all(chunk.timings.sampling_ms > 0 for chunk in made)


def test_a_prompt_is_read_once_and_no_other_is(
    engine: Engine, request_of: MakeRequest, models: Any
) -> None:
    """The negative prompt is read where a branch sees it; a known prompt needs no encoder."""
    read: list[int] = []
    hook = models.text.model.register_forward_hook(lambda *_: read.append(1))
    try:
        plain = request_of(prompt="a new prompt", sample_text_guide_scale=1.0)
        guided = request_of(prompt="a new prompt", negative_prompt="unseen")
        assert prompts_of(plain) == ("a new prompt",)
        assert prompts_of(guided) == ("a new prompt", "unseen")
        for request, count in ((plain, 1), (plain, 1), (guided, 2), (guided, 2)):
            assert len(engine.prepare(request).scene.prompt) > 1
            assert len(read) == count
            assert all(map(models.text.knows, prompts_of(request)))
    finally:
        hook.remove()


def test_the_same_request_is_the_same_video(engine: Engine, request_of: MakeRequest) -> None:
    """A seed determines every frame; another seed gives others."""
    first = video_of(engine, request_of())
    assert np.array_equal(first, video_of(engine, request_of()))
    assert not np.array_equal(first, video_of(engine, request_of(seed=8)))


def test_progress_comes_in_order_and_from_every_chunk(
    engine: Engine, request_of: MakeRequest
) -> None:
    """Each chunk is prepared, sampled step by step, then decoded."""
    heard: list[GenerationProgress] = []
    list(engine.generate(request_of(seconds=0.4), on_progress=heard.append))
    told = [(progress.chunk, progress.stage, progress.step) for progress in heard]
    one = [("preprocess", 0), ("sampling", 0), ("sampling", 1), ("sampling", 2), ("decode", 2)]
    assert told == [(chunk, *moment) for chunk in (0, 1) for moment in one]
    assert {(progress.chunks, progress.steps) for progress in heard} == {(2, 2)}


def test_a_callback_that_raises_ends_the_generation(
    engine: Engine, request_of: MakeRequest
) -> None:
    """Cancelling and deadlines are exceptions of the caller's; the engine goes on working."""

    def stop(progress: GenerationProgress) -> None:
        if progress.stage == "sampling" and progress.step == 1:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(engine.generate(request_of(), on_progress=stop))
    assert len(video_of(engine, request_of())) == 15


def test_a_latent_that_is_not_finite_is_an_error(
    engine: Engine, request_of: MakeRequest, models: Any
) -> None:
    """Broken weights give an error that names the chunk, not a black video."""
    bias = models.dit.head.head.bias
    whole = bias.clone()
    bias[0] = torch.nan
    try:
        with pytest.raises(NotFiniteError, match="chunk 0"):
            video_of(engine, request_of())
    finally:
        bias.copy_(whole)


def test_a_picture_that_is_not_finite_is_an_error(
    engine: Engine, request_of: MakeRequest, models: Any
) -> None:
    """A broken autoencoder does not make black frames either."""
    bias = models.vae.conv2.bias
    whole = bias.clone()
    bias[0] = torch.nan
    try:
        with pytest.raises(NotFiniteError, match="the picture is not finite in chunk 0"):
            video_of(engine, request_of())
    finally:
        bias.copy_(whole)


def test_a_speech_that_is_too_short_says_so(engine: Engine, request_of: MakeRequest) -> None:
    """The second speaker's speech is named by its place."""
    good, short = (
        Waveform(samples=np.zeros(length, np.float32), sample_rate=16000) for length in (9000, 99)
    )
    with pytest.raises(SpeechTooShortError, match=r"speeches\[1\] is 0.01 s long"):
        engine.prepare(request_of(speeches=(good, short)))


def test_two_speeches_meet_at_one_loudness_unless_it_is_kept(
    engine: Engine, request_of: MakeRequest
) -> None:
    """A recording ten times as loud is brought to the same; a synthesised one stays."""
    plain = request_of(seconds=0.5, speakers=2)
    quiet, other = plain.speeches
    loud = Waveform(samples=quiet.samples * 10, sample_rate=16000)
    tracks = {}
    for loudness in ("normalise", "keep"):
        for name, first in (("quiet", quiet), ("loud", loud)):
            request = evolve(plain, speeches=(first, other), speech_loudness=loudness)
            mixed = engine.prepare(request).mixed_speech
            assert mixed is not None
            tracks[loudness, name] = mixed.samples
    np.testing.assert_allclose(tracks["normalise", "quiet"], tracks["normalise", "loud"], atol=1e-5)
    np.testing.assert_allclose(tracks["keep", "quiet"], quiet.samples + other.samples)
    assert np.abs(tracks["keep", "loud"] - tracks["keep", "quiet"]).max() > 0.5


@pytest.mark.parametrize("count", [0, 3])
def test_there_are_one_or_two_speakers(
    engine: Engine, request_of: MakeRequest, *, count: int
) -> None:
    """Nobody and three are refused."""
    with pytest.raises(InvalidRequestError, match="one or two"):
        engine.prepare(request_of(speakers=count))


@pytest.mark.parametrize(
    ("boxes", "named"),
    [
        (((10, 10, 5, 20), (30, 10, 50, 60)), "bbox.person1"),
        (((0, 0, 30, 60), (30, 0, 61, 60)), "bbox.person2"),
    ],
)
def test_a_box_outside_the_picture_is_named(
    engine: Engine, request_of: MakeRequest, *, boxes: Any, named: str
) -> None:
    """Boxes are x0, y0, x1, y1 within the upright first frame, which is 60 wide and 70 high."""
    with pytest.raises(InvalidRequestError, match=named):
        engine.prepare(request_of(speakers=2, boxes=boxes))


def test_where_the_speakers_are_changes_the_video(engine: Engine, request_of: MakeRequest) -> None:
    """Halves, boxes and masks lead to different videos; equal boxes and masks to the same."""
    boxes = ((0, 0, 20, 70), (40, 0, 60, 70))
    masks = tuple(np.zeros((70, 60), np.uint8) for _ in boxes)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 255
    made = [
        video_of(engine, request_of(seconds=0.4, speakers=2, **where))
        for where in ({}, {"boxes": boxes}, {"masks": masks}, {"boxes": boxes[::-1]})
    ]
    assert np.array_equal(made[1], made[2])
    assert not np.array_equal(made[0], made[1])
    assert not np.array_equal(made[1], made[3])


def test_one_speaker_in_a_box_is_not_one_speaker_everywhere(
    engine: Engine, request_of: MakeRequest
) -> None:
    """With a box the rest of the picture hears silence."""
    whole = video_of(engine, request_of(seconds=0.4))
    boxed = video_of(engine, request_of(seconds=0.4, boxes=((0, 0, 30, 40),)))
    assert whole.shape == boxed.shape
    assert not np.array_equal(whole, boxed)


def test_two_speakers_together_are_delivered_as_one_track(
    engine: Engine, request_of: MakeRequest
) -> None:
    """What both say is added up at the model's rate, as long as the video."""
    prepared = engine.prepare(request_of(seconds=0.5, speakers=2, audio_type="add"))
    assert prepared.mixed_speech is not None
    assert prepared.mixed_speech.duration_seconds == pytest.approx(1.0)
    assert engine.prepare(request_of()).mixed_speech is None


@pytest.mark.parametrize("fp8", ["never", "always"])
def test_a_caller_may_be_in_inference_mode(
    tmp_path: Path, request_of: MakeRequest, *, fp8: Literal["never", "always"]
) -> None:
    """What is loaded, moved or quantised there is ordinary, works there and works afterwards."""
    files = make_checkpoint(tmp_path)
    streamed = request_of(num_persistent_param_in_dit=0, seconds=0.4)
    resident = request_of(offload_model=False, seconds=0.4)
    with torch.inference_mode():
        engine = Engine.load(files, EngineConfig(device="cpu", fp8=fp8))
        there = video_of(engine, resident)
        assert np.array_equal(video_of(engine, streamed), there)
    weights = [*engine._models.dit.parameters(), *engine._models.dit.buffers()]
    assert not any(weight.is_inference() for weight in weights)
    assert np.array_equal(video_of(engine, streamed), there)
    engine.close()
