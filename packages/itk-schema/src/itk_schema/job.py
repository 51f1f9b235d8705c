"""What a caller asks for: one video, or several after each other."""

# ruff: noqa: RUF009
# asked() and _parameter() declare attrs fields, as attrs.field does.

from typing import TypeAlias

from attrs import evolve, field, frozen

from .catalog import asked
from .checks import born_valid
from .limits import (
    MAX_BATCH_ITEMS,
    MAX_DEADLINE_SECONDS,
    MAX_MASK_BYTES,
    MAX_PICTURE_BYTES,
    MAX_PICTURE_SIDE_PIXELS,
    MAX_PROMPT_CHARACTERS,
    MAX_URL_CHARACTERS,
    inline_length,
)
from .parameters import (
    CameraMotion,
    Fit,
    Mode,
    OutputSize,
    Quant,
    Size,
    SourceAudio,
    VideoEnd,
    as_tuple,
)
from .presets import PresetName
from .rules import MEDIA, NAME, SOME_TEXT, URL, Rule, rule
from .speech import SPEECH_WORDS, AudioType, CondAudio, Speaker, TtsAudio
from .storage import OutputConfig

SCHEMA_VERSION = 1
"""Of the JSON; it rises only when a job of the old form would be misunderstood."""
DEFAULT_EXECUTION_TIMEOUT_SECONDS = 1800.0
DEFAULT_TTL_SECONDS = 86_400.0

Box: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the upright first frame, x to the right and y down."""
_BOX = Rule(
    help="A corner.", minimum=0, maximum=MAX_PICTURE_SIDE_PIXELS, unit="pixels", group="people"
)
_BOX_WORDS = "a list of four whole numbers of pixels: [x0, y0, x1, y1]"
_MASK = {
    "group": "people",
    "pattern": MEDIA,
    "words": SPEECH_WORDS,
    "max_length": inline_length(MAX_MASK_BYTES),
}


@frozen(kw_only=True)
class SpeakerBoxes:
    """Where each of two speakers is in the picture."""

    person1: Box = field(
        converter=as_tuple,
        metadata=rule(help="Box of the first speaker.", words=_BOX_WORDS, each=_BOX),
    )
    person2: Box = field(
        converter=as_tuple,
        metadata=rule(help="Box of the second speaker.", words=_BOX_WORDS, each=_BOX),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)


@frozen(kw_only=True)
class Masks:
    """Which pixels belong to each speaker, as pictures: white is the speaker."""

    person1: str = field(metadata=rule(help="Mask of the first speaker.", **_MASK))
    person2: str | None = field(
        default=None, metadata=rule(help="Mask of the second speaker.", **_MASK)
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)


@frozen(kw_only=True)
class JobInput:
    """One video, as the caller asked for it; None means "not said"."""

    prompt: str = field(
        metadata=rule(
            help="What the video shows.",
            pattern=SOME_TEXT,
            words=f"text that is not blank, of at most {MAX_PROMPT_CHARACTERS} characters",
            max_length=MAX_PROMPT_CHARACTERS,
        )
    )
    cond_video: str = field(
        metadata=rule(
            help="The picture that will speak: a portrait or a dub.",
            pattern=MEDIA,
            words=SPEECH_WORDS,
            max_length=inline_length(MAX_PICTURE_BYTES),
        )
    )
    cond_audio: CondAudio | None = field(
        default=None,
        metadata=rule(help="Recorded speech, one file a speaker.", group="people"),
    )
    tts_audio: TtsAudio | None = field(
        default=None,
        metadata=rule(help="Text to be spoken instead of recorded speech.", group="people"),
    )
    bbox: Box | SpeakerBoxes | None = field(
        default=None,
        converter=as_tuple,
        metadata=rule(
            help="Where the speaker is, or where each of two is, in the upright first frame.",
            group="people",
            words="[x0, y0, x1, y1] for one speaker, or an object with person1 and person2",
            each=_BOX,
        ),
    )
    masks: Masks | None = field(
        default=None,
        metadata=rule(help="Pictures of which pixels belong to each speaker.", group="people"),
    )
    preset: PresetName | None = field(
        default=None,
        metadata=rule(help="Several parameters at once; those given explicitly win."),
    )

    size: Size | None = asked("size")
    mode: Mode | None = asked("mode")
    frame_num: int | None = asked("frame_num")
    max_frame_num: int | None = asked("max_frame_num")
    motion_frame: int | None = asked("motion_frame")
    sample_steps: int | None = asked("sample_steps")
    sample_shift: float | None = asked("sample_shift")
    sample_text_guide_scale: float | None = asked("sample_text_guide_scale")
    sample_audio_guide_scale: float | None = asked("sample_audio_guide_scale")
    negative_prompt: str | None = asked("negative_prompt")
    use_apg: bool | None = asked("use_apg")
    apg_momentum: float | None = asked("apg_momentum")
    apg_norm_threshold: float | None = asked("apg_norm_threshold")
    base_seed: int | None = asked("base_seed")
    use_teacache: bool | None = asked("use_teacache")
    teacache_thresh: float | None = asked("teacache_thresh")
    color_correction_strength: float | None = asked("color_correction_strength")
    join_fade_frames: int | None = asked("join_fade_frames")
    fit: Fit | None = asked("fit")
    focus: tuple[float, float] | None = asked("focus")
    camera_motion: CameraMotion | None = asked("camera_motion")
    video_end: VideoEnd | None = asked("video_end")
    split_scenes: bool | None = asked("split_scenes")
    output_size: OutputSize | None = asked("output_size")
    audio_type: AudioType | None = asked("audio_type")
    speaker_order: tuple[Speaker, Speaker] | None = asked("speaker_order")
    speech_start_seconds: float | None = asked("speech_start_seconds")
    speech_end_seconds: float | None = asked("speech_end_seconds")
    source_audio: SourceAudio | None = asked("source_audio")
    offload_model: bool | None = asked("offload_model")
    num_persistent_param_in_dit: int | None = asked("num_persistent_param_in_dit")
    quant: Quant | None = asked("quant")
    quant_dir: str | None = asked("quant_dir")
    loras: tuple[str, ...] | None = asked("loras")

    output_config: OutputConfig | None = field(
        default=None, metadata=rule(help="Where the files go.", group="storage")
    )
    id: str | None = field(
        default=None,
        metadata=rule(
            help="Name of an item of a batch.",
            pattern=NAME,
            words="a name of letters, digits, '.', '_' and '-', at most 128 characters",
        ),
    )
    webhook: str | None = field(
        default=None,
        metadata=rule(
            help="URL that is told when this item ends.",
            pattern=URL,
            words="an http(s) URL without a user name",
            max_length=MAX_URL_CHARACTERS,
            secret=True,
        ),
    )
    request_id: str | None = field(
        default=None,
        metadata=rule(
            help="The caller's own id; the same id again is the same job.",
            pattern=NAME,
            words="a name of letters, digits, '.', '_' and '-', at most 128 characters",
        ),
    )
    schema_version: int | None = field(
        default=None,
        metadata=rule(
            help="Version of this contract that the job was written for.",
            minimum=1,
            maximum=SCHEMA_VERSION,
        ),
    )
    deadline_seconds: float | None = field(
        default=None,
        metadata=rule(
            help="How long the worker may take; the client repeats policy.executionTimeout here.",
            unit="seconds",
            minimum=1.0,
            maximum=float(MAX_DEADLINE_SECONDS),
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)

    @property
    def speakers(self) -> int:
        """How many people speak: 1 or 2."""
        speech = self.cond_audio or self.tts_audio
        return 1 if speech is None else speech.speakers


@frozen(kw_only=True)
class Batch:
    """Several videos after each other, with what they share."""

    batch: tuple[JobInput, ...] = field(
        converter=as_tuple,
        metadata=rule(
            help="The items, each a job of its own.",
            words=f"a list of 1 to {MAX_BATCH_ITEMS} jobs",
            min_length=1,
            max_length=MAX_BATCH_ITEMS,
        ),
    )
    output_config: OutputConfig | None = field(
        default=None,
        metadata=rule(help="Where the files of items go that do not say.", group="storage"),
    )
    request_id: str | None = field(
        default=None,
        metadata=rule(
            help="The caller's own id; the same id again is the same job.",
            pattern=NAME,
            words="a name of letters, digits, '.', '_' and '-', at most 128 characters",
        ),
    )
    schema_version: int | None = field(
        default=None,
        metadata=rule(
            help="Version of this contract that the job was written for.",
            minimum=1,
            maximum=SCHEMA_VERSION,
        ),
    )
    deadline_seconds: float | None = field(
        default=None,
        metadata=rule(
            help="How long the worker may take for all items together.",
            unit="seconds",
            minimum=1.0,
            maximum=float(MAX_DEADLINE_SECONDS),
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)

    def item_id(self, index: int) -> str:
        """Return the id of an item: its own, or `item-{index}` counted from 0."""
        return self.batch[index].id or f"item-{index}"

    def item(self, index: int) -> JobInput:
        """Return an item with its id and, where it says none, the batch's output_config."""
        job = self.batch[index]
        return evolve(
            job, id=self.item_id(index), output_config=job.output_config or self.output_config
        )


@frozen(kw_only=True)
class Policy:
    """How long Runpod lets a job run and live; milliseconds on the wire, seconds here."""

    execution_timeout_seconds: float | None = field(
        default=None,
        metadata=rule(
            help="How long the job may run.",
            unit="seconds",
            minimum=5.0,
            maximum=float(MAX_DEADLINE_SECONDS),
            wire_name="executionTimeout",
            wire_scale=1000,
        ),
    )
    ttl_seconds: float | None = field(
        default=None,
        metadata=rule(
            help="How long the job may exist, waiting included.",
            unit="seconds",
            minimum=10.0,
            maximum=float(MAX_DEADLINE_SECONDS),
            wire_name="ttl",
            wire_scale=1000,
        ),
    )
    low_priority: bool | None = field(
        default=None,
        metadata=rule(
            help="Wait for idle workers instead of starting new ones.", wire_name="lowPriority"
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)


@frozen(kw_only=True)
class JobRequest:
    """The whole body of a request: the job and how Runpod treats it."""

    input: JobInput | Batch = field(metadata=rule(help="The job."))
    policy: Policy | None = field(default=None, metadata=rule(help="Time limits."))
    webhook: str | None = field(
        default=None,
        metadata=rule(
            help="URL that Runpod tells when the job ends.",
            pattern=URL,
            words="an http(s) URL without a user name",
            max_length=MAX_URL_CHARACTERS,
            secret=True,
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)


DEFAULT_POLICY = Policy(
    execution_timeout_seconds=DEFAULT_EXECUTION_TIMEOUT_SECONDS, ttl_seconds=DEFAULT_TTL_SECONDS
)
"""What the client sends for streaming jobs unless told."""
