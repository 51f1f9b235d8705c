"""Cases of whole generations: chunks, sampling, motion, colours, with recorded noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from itk_engine.chunks import ChunkPlan, plan_chunks, video_frames
from itk_engine.conditioning import bucket_for, normalise, place, resize_and_crop
from itk_engine.conditioning.regions import on_latents
from itk_engine.pipeline import Conditioned, Finished, Parts, Scene, Stepped, generate
from itk_engine.sampling import Guidance, RecordedNoise, Sampling, TeaCache

from .encoders import vae_of
from .pictures import regions_of
from .verdict import Check, close, equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from .bench import Bench
    from .folder import Case


def generation(case: Case, bench: Bench) -> list[Check]:
    """Generate as the recorded arguments say, and compare every chunk's insides and the video."""
    io = case.tensors()
    tolerance = bench.colours if case["kwargs"]["color_correction_strength"] else bench.pipeline
    recording = _Recording(io, tolerance=tolerance)
    features = _features(io, bench)
    parts = Parts(
        dit=bench.dit(case["config"], case.tensors("weights")),
        vae=vae_of(case["vae_config"], case.tensors("vae_weights"), io, bench=bench),
        see=recording.seeing(features),
    )
    scene = _scene(case, io, bench)
    assert scene.masks is not None
    came = scene.masks.to(torch.uint8)
    recording.checks.append(equal("out.ref_target_masks", came, io["out.ref_target_masks"]))
    recording.compare_times(scene)
    noise = RecordedNoise(io[name] for name in sorted(io) if name.startswith("in.draw."))
    for event in generate(parts, scene, noise):
        recording.hear(event)
    if len({len(speech) for speech in scene.speeches}) == 1:
        kept = sum(chunk.kept for chunk in scene.chunks)
        recording.checks.append(equal("frames of the video", kept, case["out_frames"]))
    return recording.verdicts(frames=case["out_frames"])


def _scene(case: Case, io: dict[str, Tensor], bench: Bench) -> Scene:
    kwargs, extra = case["kwargs"], case["extra_args"]
    speeches = _speeches(io)
    plan = ChunkPlan(frame_num=kwargs["frame_num"], motion_frame=kwargs["motion_frame"])
    streaming = kwargs["max_frames_num"] > kwargs["frame_num"]
    # The reference ends with its first speaker and cuts at the last one's length.
    frames = video_frames(
        len(speeches[0]), plan=plan, streaming=streaming, max_frames=kwargs["max_frames_num"]
    )
    source = io["in.cond_frames"]
    size = (source.shape[1], source.shape[2])
    canvas = bucket_for(*size, {key: tuple(value) for key, value in case["bucket_table"].items()})
    regions = regions_of(size, case["bbox"], speakers=len(speeches), margin=kwargs["face_scale"])
    chunks = plan_chunks(frames, plan)
    return Scene(
        prompt=io["in.context"],
        negative=io["in.context_null"],
        speeches=speeches,
        picture=_pictures(source, canvas, bench),
        masks=on_latents(regions, place(size, canvas)),
        chunks=chunks,
        sampling=Sampling(
            steps=kwargs["sampling_steps"],
            shift=kwargs["shift"],
            guidance=Guidance(
                text_scale=kwargs["text_guide_scale"],
                speech_scale=kwargs["audio_guide_scale"],
                apg=extra["use_apg"],
                apg_momentum=extra["apg_momentum"],
                apg_norm_threshold=extra["apg_norm_threshold"],
                compute_unused=extra["use_teacache"],
            ),
            teacache=TeaCache(threshold=extra["teacache_thresh"], size=extra["size"])
            if extra["use_teacache"]
            else None,
        ),
        colour_strength=kwargs["color_correction_strength"],
        mirrored_from=len(chunks) - 1 if streaming else len(chunks),
        reference_skips=True,
    )


def _speeches(io: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return tuple(io[name] for name in sorted(io) if name.startswith("in.audio_emb."))


def _pictures(source: Tensor, canvas: tuple[int, int], bench: Bench) -> Callable[[int], Tensor]:
    """Return the picture of a frame number: frames by number, the last one past the end.

    Each one is new, for the recorded CLIP features differ from chunk to chunk even where the
    picture does not.
    """

    def picture(index: int) -> Tensor:
        cropped = resize_and_crop(source[min(index, len(source) - 1)].numpy(), canvas)
        return normalise(cropped).unsqueeze(1).to(bench.device)

    return picture


def _features(io: dict[str, Tensor], bench: Bench) -> Iterator[Tensor]:
    """Yield the recorded CLIP features, one for each chunk."""
    chunk = 0
    while f"in.clip_fea.chunk{chunk}" in io:
        yield bench.place(io[f"in.clip_fea.chunk{chunk}"])
        chunk += 1


class _Recording:
    """Compares what happens during a generation with what was recorded."""

    def __init__(self, io: dict[str, Tensor], *, tolerance: float) -> None:
        self.checks: list[Check] = []
        self._io = io
        self._tolerance = tolerance
        self._latents: list[Tensor] = []
        self._video: list[Tensor] = []

    def seeing(self, features: Iterator[Tensor]) -> Callable[[Tensor], Tensor]:
        """Return what stands in for CLIP: the recorded features, one after the other."""

        def see(frame: Tensor) -> Tensor:
            self._frame = frame
            return next(features)

        return see

    def compare_times(self, scene: Scene) -> None:
        """Compare the times that every chunk is predicted at."""
        for chunk in scene.chunks:
            self._compare(
                f"out.chunk{chunk.index}.timesteps", torch.tensor(scene.sampling.times[:-1])
            )

    def hear(self, event: Any) -> None:
        """Compare one event."""
        name = f"out.chunk{event.chunk.index}"
        if isinstance(event, Conditioned):
            self._latents = []
            self._compare(f"{name}.y", event.conditioning)
            self._compare(f"{name}.clip_input_image", event.picture[None])
            if f"{name}.audio_index" in self._io:
                rows = torch.tensor(event.rows)
                record = self._io[f"{name}.audio_index"].to(rows.dtype)
                self.checks.append(equal(f"{name}.audio_index", rows, record))
        elif isinstance(event, Stepped):
            self._latents.append(event.latent[0])
        elif isinstance(event, Finished):
            self._compare(f"{name}.latents_in", torch.stack(self._latents[:-1]))
            self._compare(f"{name}.latent_final", self._latents[-1])
            self._video.append(event.video[:, event.chunk.overlap :])

    def verdicts(self, *, frames: int) -> list[Check]:
        """Return every comparison, last that of the video, which has so many frames."""
        video = torch.cat(self._video, dim=1)[:, :frames]
        self._compare("out.video", video)
        self._compare("out.video_sub2", video[:, :, ::2, ::2])
        return self.checks

    def _compare(self, name: str, came: Tensor) -> None:
        if name in self._io:
            self.checks.append(close(name, came, self._io[name], tolerance=self._tolerance))
