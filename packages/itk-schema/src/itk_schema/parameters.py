"""Every generation parameter with its type, default, range, unit and help."""

# ruff: noqa: RUF009
# asked() and _parameter() declare attrs fields, as attrs.field does.

from typing import Any, Literal, TypeAlias

from attrs import Factory, evolve, field, frozen

from .checks import born_valid
from .limits import MAX_LORAS, MAX_PROMPT_CHARACTERS, MAX_SPEECH_SECONDS
from .rules import ANY_TEXT, NAME, Rule
from .speech import AudioType, Speaker

Size: TypeAlias = Literal["infinitetalk-480", "infinitetalk-720"]
Mode: TypeAlias = Literal["clip", "streaming"]
Quant: TypeAlias = Literal["int8", "fp8"]
VideoEnd: TypeAlias = Literal["hold", "bounce"]
CameraMotion: TypeAlias = Literal["none", "zoom_in", "zoom_out", "pan_left", "pan_right"]
Fit: TypeAlias = Literal["crop", "pad"]
SourceAudio: TypeAlias = Literal["drop", "keep", "duck"]
OutputSize: TypeAlias = Literal["bucket", "source"]

SHIFT_BY_SIZE: dict[str, float] = {"infinitetalk-480": 7.0, "infinitetalk-720": 11.0}
FRAMES_PER_SECOND = 25
"""Of every video that the model makes."""

# What InfiniteTalk uses where a job has no negative prompt of its own.
DEFAULT_NEGATIVE_PROMPT = (
    "bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, "
    "images, static, overall gray, worst quality, low quality, JPEG compression residue, "
    "ugly, incomplete, extra fingers, poorly drawn hands, poorly drawn faces, deformed, "
    "disfigured, misshapen limbs, fused fingers, still picture, messy background, "
    "three legs, many people in the background, walking backwards"
)


def as_tuple(value: Any) -> Any:
    """Turn a list into a tuple and leave everything else alone."""
    return tuple(value) if isinstance(value, list) else value


def _parameter(*, default: Any, help: str, **facts: Any) -> Any:  # noqa: A002  as in argparse
    """Declare a parameter: an attrs field whose metadata holds its rule."""
    metadata = {"rule": Rule(help=help, **facts)}
    return field(default=default, converter=as_tuple, metadata=metadata)


def _default_shift(parameters: "Parameters") -> float:
    return SHIFT_BY_SIZE[parameters.size]


def _default_motion_frame(parameters: "Parameters") -> int:
    return min(9, (parameters.frame_num - 2) // 4 * 4 + 1)


@frozen(kw_only=True)
class Parameters:
    """Everything about a generation, decided; null stays only where it has a meaning."""

    size: Size = _parameter(
        default="infinitetalk-480",
        help="Picture area: about 480p or 720p, in the shape nearest to the source.",
        group="picture",
        kind="picture",
    )
    mode: Mode = _parameter(
        default="clip",
        help="clip makes one chunk; streaming makes chunk after chunk until the speech ends.",
        group="length",
        kind="picture",
    )
    frame_num: int = _parameter(
        default=81,
        help="Frames of one chunk.",
        group="length",
        kind="picture",
        unit="frames",
        minimum=5,
        maximum=401,
        multiple_of=4,
        remainder=1,
    )
    max_frame_num: int | None = _parameter(
        default=None,
        help="Most frames of the whole video; null: until the speech ends.",
        group="length",
        kind="picture",
        unit="frames",
        minimum=1,
        maximum=MAX_SPEECH_SECONDS * FRAMES_PER_SECOND,
        needs=("mode", "streaming"),
    )
    motion_frame: int = _parameter(
        default=Factory(_default_motion_frame, takes_self=True),
        help="Frames that a chunk shares with the one before it; 4n+1 joins without a seam.",
        group="length",
        kind="picture",
        unit="frames",
        minimum=1,
        maximum=400,
        needs=("mode", "streaming"),
    )
    sample_steps: int = _parameter(
        default=40,
        help="Denoising steps; 4 or 8 with a distillation LoRA.",
        group="sampling",
        kind="picture",
        unit="steps",
        minimum=1,
        maximum=1000,
    )
    sample_shift: float = _parameter(
        default=Factory(_default_shift, takes_self=True),
        help="How much of the schedule is spent at high noise; null: 7 for 480 and 11 for 720.",
        group="sampling",
        kind="picture",
        minimum=0.01,
        maximum=100.0,
    )
    sample_text_guide_scale: float = _parameter(
        default=5.0,
        help="How strictly the picture follows the prompt; 1 turns guidance by text off.",
        group="guidance",
        kind="picture",
        minimum=0.0,
        maximum=20.0,
    )
    sample_audio_guide_scale: float = _parameter(
        default=4.0,
        help="How strictly the lips follow the speech; 1 turns guidance by speech off.",
        group="guidance",
        kind="picture",
        minimum=0.0,
        maximum=20.0,
    )
    negative_prompt: str = _parameter(
        default=DEFAULT_NEGATIVE_PROMPT,
        help="What the picture should not be; blank: the model's own negative prompt.",
        group="guidance",
        kind="picture",
        pattern=ANY_TEXT,
        words=f"text of at most {MAX_PROMPT_CHARACTERS} characters",
        max_length=MAX_PROMPT_CHARACTERS,
    )
    use_apg: bool = _parameter(
        default=False,
        help="Adaptive projected guidance: less over-saturation at high guidance.",
        group="guidance",
        kind="picture",
    )
    apg_momentum: float = _parameter(
        default=-0.75,
        help="Momentum of adaptive projected guidance.",
        group="guidance",
        kind="picture",
        minimum=-1.0,
        maximum=1.0,
        needs=("use_apg", True),
    )
    apg_norm_threshold: float = _parameter(
        default=55.0,
        help="Largest norm of a guidance update; 0 sets no limit.",
        group="guidance",
        kind="picture",
        minimum=0.0,
        maximum=10_000.0,
        needs=("use_apg", True),
    )
    base_seed: int = _parameter(
        default=42,
        help="Seed of the noise; -1 takes one from the job's id.",
        group="sampling",
        kind="picture",
        minimum=-1,
        maximum=2**32 - 1,
    )
    use_teacache: bool = _parameter(
        default=False,
        help="Skip steps that would change little: faster, slightly different.",
        group="speed",
        kind="picture",
    )
    teacache_thresh: float = _parameter(
        default=0.2,
        help="How much change a step must promise to be computed; larger skips more.",
        group="speed",
        kind="picture",
        minimum=0.0,
        maximum=10.0,
        needs=("use_teacache", True),
    )
    color_correction_strength: float = _parameter(
        default=1.0,
        help="How far colours are pulled back to those of the first picture.",
        group="picture",
        kind="picture",
        minimum=0.0,
        maximum=1.0,
    )
    join_fade_frames: int = _parameter(
        default=0,
        help="Over how many frames the small step where two chunks join fades out; 0: it stays.",
        group="picture",
        kind="picture",
        minimum=0,
        maximum=24,
        unit="frames",
        needs=("mode", "streaming"),
    )
    fit: Fit = _parameter(
        default="crop",
        help="How the source meets the model's shape: cut its edges or add bars.",
        group="picture",
        kind="picture",
    )
    focus: tuple[float, float] = _parameter(
        default=(0.5, 0.5),
        help="The point [x, y] of the source that a crop keeps nearest to the middle.",
        group="picture",
        kind="picture",
        unit="share of width and height",
        each=Rule(help="A share.", minimum=0.0, maximum=1.0),
        words="a list of two numbers from 0 to 1: x from the left, y from the top",
        needs=("fit", "crop"),
    )
    camera_motion: CameraMotion = _parameter(
        default="none",
        help="Turn a portrait into a slow pan or zoom.",
        group="picture",
        kind="picture",
    )
    video_end: VideoEnd = _parameter(
        default="hold",
        help="What a dub shows when speech outlasts it: its last frame, or itself backwards.",
        group="length",
        kind="picture",
    )
    split_scenes: bool = _parameter(
        default=False,
        help="Start afresh at each cut of a dub.",
        group="picture",
        kind="picture",
    )
    output_size: OutputSize = _parameter(
        default="bucket",
        help="Leave the video in the model's size or scale it back to the source's.",
        group="picture",
        kind="picture",
    )
    audio_type: AudioType = _parameter(
        default="para",
        help="Two speakers at the same time (para) or one after the other (add).",
        group="people",
        kind="speech",
    )
    speaker_order: tuple[Speaker, Speaker] = _parameter(
        default=("person1", "person2"),
        help="Who speaks first and who second.",
        group="people",
        kind="speech",
        words='["person1", "person2"] or ["person2", "person1"]',
        distinct=True,
        needs=("audio_type", "add"),
    )
    speech_start_seconds: float = _parameter(
        default=0.0,
        help="Where in the speech the video begins.",
        group="people",
        kind="speech",
        unit="seconds",
        minimum=0.0,
        maximum=float(MAX_SPEECH_SECONDS),
    )
    speech_end_seconds: float | None = _parameter(
        default=None,
        help="Where in the speech the video ends; null: at its end.",
        group="people",
        kind="speech",
        unit="seconds",
        minimum=0.0,
        maximum=float(MAX_SPEECH_SECONDS),
    )
    source_audio: SourceAudio = _parameter(
        default="drop",
        help="What becomes of a dub's own sound: dropped, kept, or kept but quieter in speech.",
        group="people",
        kind="output",
    )
    offload_model: bool | None = _parameter(
        default=None,
        help="Move parts of the model off the GPU between uses; null: the planner decides.",
        group="memory",
        kind="memory",
    )
    num_persistent_param_in_dit: int | None = _parameter(
        default=None,
        help="Parameters of the transformer that stay on the GPU; null: the planner decides.",
        group="memory",
        kind="memory",
        unit="parameters",
        minimum=0,
        maximum=10**12,
    )
    quant: Quant | None = _parameter(
        default=None,
        help="Quantised weights, if the endpoint has them; null: whatever it has loaded.",
        group="weights",
        kind="weights",
    )
    quant_dir: str | None = _parameter(
        default=None,
        help="The quantised weights that the endpoint has loaded, by its own name for them.",
        group="weights",
        kind="weights",
        pattern=r"^[^\s\u0000-\u001f](?![\s\S]*[\u0000-\u001f])",
        words="the name or path that the endpoint offers",
        max_length=1024,
    )
    loras: tuple[str, ...] = _parameter(
        default=(),
        help="LoRAs that the endpoint offers, by name.",
        group="weights",
        kind="weights",
        words=f"a list of at most {MAX_LORAS} different names",
        max_length=MAX_LORAS,
        each=Rule(help="A LoRA's name.", pattern=NAME, words="a name"),
        distinct=True,
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)

    def but(self, **changes: Any) -> "Parameters":
        """Return a copy with some parameters changed."""
        return evolve(self, **changes)
