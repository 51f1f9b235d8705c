"""How one chunk carries on from the one before it, and for how long that goes well."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from itk_engine.engine import Engine
from itk_engine.pipeline import Finished, Parts, Scene, Stepped, generate
from itk_engine.request import GenerationRequest
from itk_engine.sampling import SeededNoise
from itk_media import Waveform

MakeRequest = Callable[..., GenerationRequest]
CPU = torch.device("cpu")


class Counted(SeededNoise):
    """Seeded noise that remembers the shapes that were drawn."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, CPU)
        self.shapes: list[tuple[int, ...]] = []

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the next draw."""
        self.shapes.append(shape)
        return super().draw(shape)


def events_of(engine: Engine, models: Any, request: GenerationRequest) -> tuple[list[Any], Counted]:
    """Return everything that happens during a generation, and its noise."""
    scene: Scene = engine.prepare(request).scene
    noise = Counted(request.seed)
    parts = Parts(dit=models.dit, vae=models.vae, see=models.clip.encode)
    return list(generate(parts, scene, noise)), noise


@pytest.mark.parametrize("motion_frame", [1, 5])
def test_a_chunk_begins_with_the_last_frames_of_the_one_before(
    engine: Engine, models: Any, request_of: MakeRequest, *, motion_frame: int
) -> None:
    """With 4n+1 motion frames the pinned latents are those frames, encoded, at every step."""
    request = request_of(motion_frame=motion_frame)
    events, _ = events_of(engine, models, request)
    videos = {event.chunk.index: event.video for event in events if isinstance(event, Finished)}
    stepped = [event for event in events if isinstance(event, Stepped) and event.chunk.overlap]
    assert len({event.chunk.index for event in stepped}) >= 1
    with torch.inference_mode():
        for event in stepped:
            motion = models.vae.encode(videos[event.chunk.index - 1][:, -motion_frame:])
            pinned = event.latent[0, :, : motion.shape[1]]
            torch.testing.assert_close(pinned, motion, rtol=0, atol=0)


def test_noise_is_drawn_in_the_published_order(
    engine: Engine, models: Any, request_of: MakeRequest
) -> None:
    """A chunk's latent first; later chunks then draw for the motion before and after each step."""
    _, noise = events_of(engine, models, request_of(seconds=0.4))
    latent, motion = (16, 3, 8, 8), (16, 2, 8, 8)
    assert noise.shapes == [latent, latent, motion, motion, motion]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory from /proc")
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_ten_minutes_of_speech_take_the_memory_of_one(
    engine: Engine, request_of: MakeRequest
) -> None:
    """After the first chunks the resident memory stays; the length is right to the frame."""
    seconds = 600
    speech = np.random.default_rng(0).normal(0, 0.1, seconds * 16000).astype(np.float32)
    request = request_of(
        speeches=(Waveform(samples=speech, sample_rate=16000),),
        frame_num=81,
        motion_frame=9,
        sample_steps=1,
        sample_text_guide_scale=1.0,
        sample_audio_guide_scale=1.0,
    )
    prepared = engine.prepare(request)
    frames, settled = 0, 0
    for chunk in engine.generate(prepared):
        frames += len(chunk.frames)
        if chunk.index == 20:
            settled = resident_bytes()
    assert frames == prepared.frames == seconds * 25
    assert resident_bytes() - settled < 40 * 2**20


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    fields = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    line = next(field for field in fields if field.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def test_what_re_encoding_changes_at_a_join_fades_out(
    engine: Engine, models: Any, request_of: MakeRequest
) -> None:
    """The motion frames' difference is added to the frames after them, less and less, then none."""
    plain, faded = (
        [
            event
            for event in events_of(engine, models, request_of(motion_frame=5, **more))[0]
            if isinstance(event, Finished)
        ]
        for more in ({}, {"join_fade_frames": 3})
    )
    assert torch.equal(plain[0].video, faded[0].video)
    shown, again = plain[0].video[:, -1], plain[1].video[:, 4]
    for count, share in enumerate((0.75, 0.5, 0.25, 0.0)):
        needed = (plain[1].video[:, 5 + count] + share * (shown - again)).clamp(-1, 1)
        torch.testing.assert_close(faded[1].video[:, 5 + count], needed)
    step = (faded[1].video[:, 5] - shown).abs().mean()
    assert step < (plain[1].video[:, 5] - shown).abs().mean()
