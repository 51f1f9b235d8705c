"""A generation from chunk to chunk: condition, denoise, decode, carry the motion on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from attrs import frozen
from torch import Tensor

from itk_engine.chunks import Chunk, speech_rows
from itk_engine.colour import match_colours
from itk_engine.errors import NotFiniteError
from itk_engine.joins import fade_join
from itk_engine.model import Conditions, DiT, grid_of, region_tokens
from itk_engine.sampling import (
    Branch,
    Guide,
    MakePredict,
    Predictor,
    Sampling,
    SkipPlan,
    denoise,
    plan_reference_skips,
    plan_skips,
)
from itk_engine.vae import VAE

if TYPE_CHECKING:
    from collections.abc import Generator

    from itk_engine.model import TimeSignal
    from itk_engine.sampling import Noise

_MASK_CHANNELS = 4  # the VAE's time stride: one mask channel for each frame of a latent


@frozen(kw_only=True, eq=False)
class Parts:
    """The models that a generation runs on.

    `see` gives CLIP's features [1, 257, C] of a frame [1, 3, 1, H, W] in [-1, 1];
    `predictor` prepares a chunk's predictions, on one device unless told otherwise.
    """

    dit: DiT
    vae: VAE
    see: Callable[[Tensor], Tensor]
    predictor: MakePredict = Predictor

    @property
    def device(self) -> torch.device:
        """Return where the transformer computes."""
        return self.dit.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the transformer's tokens."""
        return self.dit.patch_embedding.weight.dtype


@frozen(kw_only=True, eq=False)
class Scene:
    """Everything that one generation is made from.

    Args:
        prompt: text states [n, text_dim]; `negative` likewise, None where no branch needs it.
        speeches: per speaker the features [frames, layers, channels], on the host.
        picture: the picture [3, 1, H, W] in [-1, 1] that the video shows at a frame number.
            The same tensor again means the same picture.
        masks: first speaker, second speaker, background [3, h, w] at latent resolution;
            needed for two speakers.
        colour_strength: 0..1, how far each frame's colours go back to its scene's first picture's.
        join_fade_frames: over how many frames the step at a join of chunks fades out.
        mirrored_from: the first chunk that, past the end of a speech, hears it backwards;
            in earlier ones its last row stands still.
        reference_skips: let TeaCache count calls as the reference implementation does.
    """

    prompt: Tensor
    negative: Tensor | None
    speeches: tuple[Tensor, ...]
    picture: Callable[[int], Tensor]
    masks: Tensor | None = None
    chunks: tuple[Chunk, ...]
    sampling: Sampling
    colour_strength: float = 1.0
    join_fade_frames: int = 0
    mirrored_from: int = 0
    reference_skips: bool = False


@frozen(kw_only=True, eq=False)
class Conditioned:
    """A chunk is about to be sampled; `rows` are the rows of speech that each frame hears."""

    chunk: Chunk
    picture: Tensor
    conditioning: Tensor
    rows: tuple[list[list[int]], ...]


@frozen(kw_only=True, eq=False)
class Stepped:
    """The latent [1, 16, T, h, w] before the first step (step 0) or after a step."""

    chunk: Chunk
    step: int
    steps: int
    latent: Tensor


@frozen(kw_only=True, eq=False)
class Finished:
    """A chunk is done: its video [3, F, H, W] in [-1, 1], overlap and surplus included."""

    chunk: Chunk
    video: Tensor
    skipped: int
    calls: int


Event: TypeAlias = Conditioned | Stepped | Finished


@torch.inference_mode()
def generate(parts: Parts, scene: Scene, noise: Noise) -> Generator[Event]:
    """Make a video chunk after chunk, telling what happens as it happens.

    Noise is drawn in a fixed order: the chunk's latent and, from the second chunk on, once
    before and once after every step a draw for the motion latents, which nothing uses and
    which keeps the generator in step with the published model's.

    Raises:
        NotFiniteError: a chunk's latent or picture holds NaN or infinity.
    """
    sampling = scene.sampling
    time = parts.dit.embed_time(torch.tensor(sampling.times[:-1], device=parts.device))
    plans = _skip_plans(scene, time)
    residuals: dict[int, Tensor] = {}
    conditioner = _Conditioner(parts, scene)
    first_picture = motion_pixels = None
    for chunk, plan in zip(scene.chunks, plans, strict=True):
        picture = scene.picture(chunk.start)
        if first_picture is None or not chunk.overlap:
            first_picture, motion_pixels = picture, None
        conditions, conditioned = conditioner.conditions(chunk, picture)
        yield conditioned

        motion = _motion_latents(parts.vae, conditioned.conditioning, motion_pixels)
        predict = parts.predictor(
            parts.dit,
            time=time,
            conditions=conditions,
            plan=plan,
            residuals=residuals if scene.reference_skips else None,
        )
        latent = noise.draw(_latent_shape(parts, chunk, motion)).to(parts.device)
        steps = denoise(
            predict,
            latent.unsqueeze(0),
            motion=motion,
            times=sampling.times,
            guide=Guide(sampling.guidance),
        )
        for step, latent in enumerate(steps):
            if chunk.overlap:
                noise.draw(tuple(motion.shape[1:]))
            yield Stepped(chunk=chunk, step=step, steps=sampling.steps, latent=latent)

        if not torch.isfinite(latent).all():
            raise NotFiniteError(chunk=chunk.index, step=None)
        video = parts.vae.decode(latent[0])
        if not torch.isfinite(video.sum()):  # within -1..1, so that nothing else makes it infinite
            raise NotFiniteError(
                chunk=chunk.index, step=None, advice="check the autoencoder's file", what="picture"
            )
        video = match_colours(video, first_picture.to(video.device), scene.colour_strength)
        if motion_pixels is not None:
            video = fade_join(
                video, motion_pixels[:, -1], overlap=chunk.overlap, frames=scene.join_fade_frames
            )
        if not chunk.last and (overlap := scene.chunks[chunk.index + 1].overlap):
            motion_pixels = video[:, -overlap:].clone()
        yield Finished(
            chunk=chunk,
            video=video,
            skipped=plan.skipped if plan else 0,
            calls=sampling.steps * len(sampling.guidance.branches),
        )
        del video  # the next chunk needs the memory


class _Conditioner:
    """Prepares what the predictions of a chunk depend on, each part as seldom as possible."""

    def __init__(self, parts: Parts, scene: Scene) -> None:
        self._parts = parts
        self._scene = scene
        branches = scene.sampling.guidance.branches
        states = {False: scene.prompt, True: scene.negative}
        self._text: dict[bool, Tensor] = {}
        for negative in {branch.negative for branch in branches}:
            prompt = states[negative]
            assert prompt is not None
            self._text[negative] = parts.dit.embed_text(self._local(prompt)[None])
        self._silence: Tensor | None = None
        self._seen: Tensor | None = None
        self._clip = self._picture = torch.empty(0)

    def conditions(
        self, chunk: Chunk, picture: Tensor
    ) -> tuple[dict[Branch, Conditions], Conditioned]:
        """Return each branch's conditions for this chunk, and what they were made from."""
        dit, scene = self._parts.dit, self._scene
        self._look_at(picture, chunk)
        rows = tuple(
            speech_rows(chunk, len(speech), mirror=chunk.index >= scene.mirrored_from)
            for speech in scene.speeches
        )
        windows = torch.stack(
            [
                speech[torch.tensor(heard)]
                for speech, heard in zip(scene.speeches, rows, strict=True)
            ]
        )
        speech = dit.embed_speech(self._local(windows)[None])
        if self._silence is None:
            self._silence = dit.embed_speech(self._local(torch.zeros_like(windows[-1:]))[None])
        grid = grid_of(self._picture)
        regions = None
        if len(scene.speeches) > 1:
            assert scene.masks is not None
            regions = region_tokens(scene.masks[None].to(self._parts.device), grid)
        conditions = {
            branch: Conditions(
                text=self._text[branch.negative],
                clip=self._clip,
                speech=self._silence if branch.silent else speech,
                picture=self._picture,
                regions=None if branch.silent else regions,
                rotation=dit.rotation(grid, self._parts.device),
            )
            for branch in scene.sampling.guidance.branches
        }
        made_from = Conditioned(chunk=chunk, picture=picture, conditioning=self._picture, rows=rows)
        return conditions, made_from

    def _look_at(self, picture: Tensor, chunk: Chunk) -> None:
        """Encode the picture, unless it is the one of the chunk before."""
        if self._seen is picture:
            return
        self._seen = picture
        on_device = picture.to(self._parts.device)
        features = self._parts.see(on_device[None])
        self._clip = self._parts.dit.embed_clip(self._local(features))
        latent = self._parts.vae.encode_still(on_device, chunk.frames)
        mask = torch.zeros_like(latent[:_MASK_CHANNELS])
        mask[:, 0] = 1
        self._picture = torch.cat((mask, latent))[None].to(self._parts.device)

    def _local(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._parts.device, self._parts.dtype)


def _motion_latents(vae: VAE, conditioning: Tensor, motion_pixels: Tensor | None) -> Tensor:
    """Return [1, 16, n, h, w] clean latents that the chunk begins with.

    The first chunk begins with the picture, whose latent the conditioning already holds: the
    VAE is causal, so what follows the picture does not change it.
    """
    if motion_pixels is None:
        return conditioning[:, _MASK_CHANNELS:, :1].float()
    return vae.encode(motion_pixels)[None].to(conditioning.device)


def _latent_shape(parts: Parts, chunk: Chunk, like: Tensor) -> tuple[int, ...]:
    return (parts.dit.config.out_dim, chunk.latent_frames, *like.shape[-2:])


def _skip_plans(scene: Scene, time: TimeSignal) -> tuple[SkipPlan | None, ...]:
    cache, count = scene.sampling.teacache, len(scene.chunks)
    branches = len(scene.sampling.guidance.branches)
    if cache is None:
        return (None,) * count
    if scene.reference_skips:
        return plan_reference_skips(cache, time, branches=branches, chunks=count)
    return (plan_skips(cache, time, branches=branches),) * count
