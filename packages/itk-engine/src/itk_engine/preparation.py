"""Turns a request into what the pipeline needs: features, sizes, chunks."""

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from itk_engine.chunks import FRAMES_PER_SECOND, ChunkPlan, plan_chunks, video_frames
from itk_engine.errors import InvalidRequestError, SpeechTooShortError
from itk_engine.framing import Framing, place_regions
from itk_engine.pipeline import Finished, Scene
from itk_engine.placement import Demand, Picture, Wishes
from itk_engine.request import GenerationRequest, MovingPicture
from itk_engine.sampling import Guidance, Sampling, TeaCache
from itk_media import Waveform, mix_speeches, normalise_loudness
from itk_schema import DEFAULT_NEGATIVE_PROMPT, Parameters

if TYPE_CHECKING:
    from itk_engine.weights import Models

SAMPLE_RATE = 16000
_SHORTEST_SECONDS = 0.4  # what a loudness meter needs


@frozen(kw_only=True, eq=False)
class Prepared:
    """A request that is ready to be generated, and what its video will be.

    `mixed_speech` is what both speakers say together, at the model's rate; None for one.
    """

    scene: Scene
    framing: Framing
    seed: int
    frames: int
    mixed_speech: Waveform | None

    @property
    def width(self) -> int:
        """Return the video's width in pixels."""
        return self.framing.delivered[1]

    @property
    def height(self) -> int:
        """Return the video's height in pixels."""
        return self.framing.delivered[0]

    @property
    def chunks(self) -> int:
        """Return in how many chunks the video is made."""
        return len(self.scene.chunks)

    @property
    def steps(self) -> int:
        """Return how many steps each chunk takes."""
        return self.scene.sampling.steps

    @property
    def frames_per_second(self) -> int:
        """Return the video's frame rate."""
        return FRAMES_PER_SECOND

    def deliver(self, event: Finished) -> NDArray[np.uint8]:
        """Return the frames [F, H, W, 3] that a chunk adds, in the size of the video."""
        chunk = event.chunk
        new = event.video[:, chunk.overlap : chunk.overlap + chunk.kept]
        return self.framing.deliver(new)


def prepare(models: "Models", request: GenerationRequest) -> Prepared:
    """Hear the speech, read the prompts, choose sizes and chunks."""
    parameters = request.parameters
    speeches, mixed = _tracks(request)
    regions_given = bool(request.boxes or request.masks)
    if len(speeches) == 1 and regions_given:
        speeches = (speeches[0], np.zeros_like(speeches[0]))
    features = tuple(models.speech.embed(speech) for speech in speeches)
    plan = ChunkPlan(frame_num=parameters.frame_num, motion_frame=parameters.motion_frame)
    frames = video_frames(
        min(len(feature) for feature in features),
        plan=plan,
        streaming=parameters.mode == "streaming",
        max_frames=parameters.max_frame_num,
    )
    framing = Framing.of(request.picture, parameters, scale=models.bucket_scale)
    masks = place_regions(request, framing) if len(speeches) == 2 else None
    sampling = sampling_of(parameters)
    states = [models.text.encode(prompt) for prompt in prompts_of(request)]
    return Prepared(
        scene=Scene(
            prompt=states[0],
            negative=states[1] if len(states) > 1 else None,
            speeches=features,
            picture=framing.picture,
            masks=masks,
            chunks=plan_chunks(frames, plan, cuts=_cuts(request, frames)),
            sampling=sampling,
            colour_strength=parameters.color_correction_strength,
            join_fade_frames=parameters.join_fade_frames,
        ),
        framing=framing,
        seed=request.seed,
        frames=frames,
        mixed_speech=mixed,
    )


def prompts_of(request: GenerationRequest) -> tuple[str, ...]:
    """Return what has to be read: the prompt, and the negative one where a branch sees it."""
    branches = sampling_of(request.parameters).guidance.branches
    if any(branch.negative for branch in branches):
        return (request.prompt, _negative_prompt(request))
    return (request.prompt,)


def needs(request: GenerationRequest, *, bucket_scale: float) -> tuple[Demand, Wishes]:
    """Return what a request asks of memory, and what its parameters force.

    The square of a size is its largest picture, so what fits it fits them all.
    """
    parameters = request.parameters
    side = int(bucket_scale * (640 if parameters.size == "infinitetalk-480" else 960))
    regions_given = bool(request.boxes or request.masks)
    demand = Demand(
        picture=Picture(height=side, width=side, frames=parameters.frame_num),
        speakers=2 if regions_given else len(request.speeches),
        branches=len(sampling_of(parameters).guidance.branches),
        keeps_residuals=parameters.use_teacache,
    )
    wishes = Wishes(
        offload_model=parameters.offload_model,
        persistent_parameters=parameters.num_persistent_param_in_dit,
    )
    return demand, wishes


def sampling_of(parameters: Parameters) -> Sampling:
    """Return how these parameters turn noise into a picture."""
    return Sampling(
        steps=parameters.sample_steps,
        shift=parameters.sample_shift,
        guidance=Guidance(
            text_scale=parameters.sample_text_guide_scale,
            speech_scale=parameters.sample_audio_guide_scale,
            apg=parameters.use_apg,
            apg_momentum=parameters.apg_momentum,
            apg_norm_threshold=parameters.apg_norm_threshold,
        ),
        teacache=TeaCache(threshold=parameters.teacache_thresh, size=parameters.size)
        if parameters.use_teacache
        else None,
    )


def _cuts(request: GenerationRequest, frames: int) -> tuple[int, ...]:
    picture = request.picture
    if request.parameters.split_scenes and isinstance(picture, MovingPicture):
        return picture.cuts_within(frames)
    return ()


def _negative_prompt(request: GenerationRequest) -> str:
    """Return what should not happen; where nothing is said, the model's own wording."""
    said = request.negative_prompt
    if said is None:
        said = request.parameters.negative_prompt
    return said if said.strip() else DEFAULT_NEGATIVE_PROMPT


def _tracks(request: GenerationRequest) -> tuple[tuple[NDArray[np.float32], ...], Waveform | None]:
    """Return what each speaker says, at one length and loudness, and both together."""
    if not 1 <= len(request.speeches) <= 2:
        raise InvalidRequestError("speeches", "one or two", str(len(request.speeches)))
    heard = [
        _checked(speech, field=f"speeches[{place}]")
        for place, speech in enumerate(request.speeches)
    ]
    if request.speech_loudness == "normalise":
        heard = [
            Waveform(
                samples=normalise_loudness(speech.samples, SAMPLE_RATE), sample_rate=SAMPLE_RATE
            )
            for speech in heard
        ]
    if len(heard) == 1:
        return (heard[0].samples,), None
    parameters = request.parameters
    both, mixed = mix_speeches(
        heard[0],
        heard[1],
        audio_type=parameters.audio_type,
        speaker_order=parameters.speaker_order,
    )
    return tuple(track.samples for track in both), mixed


def _checked(speech: Waveform, *, field: str) -> Waveform:
    if speech.sample_rate != SAMPLE_RATE:
        raise InvalidRequestError(field, f"{SAMPLE_RATE} Hz", f"{speech.sample_rate} Hz")
    if speech.duration_seconds < _SHORTEST_SECONDS:
        raise SpeechTooShortError(
            seconds=speech.duration_seconds,
            needed_seconds=_SHORTEST_SECONDS,
            speech=field,
        )
    if not np.isfinite(speech.samples).all():
        raise InvalidRequestError(field, "finite samples", "NaN or infinity")
    return speech
