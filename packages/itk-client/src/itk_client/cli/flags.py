"""The flags of a job: written here for files and people, made from the catalog for the rest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
from attrs import frozen
from cyclopts import Group, Parameter

from itk_client.errors import ConfigError, ValidationError
from itk_schema import PARAMETERS, PRESETS, PresetName, limits, parse_json
from itk_schema import Parameter as CatalogEntry

JOB = Group("The job", sort_key=1)
PEOPLE = Group("Who speaks", sort_key=2)
STORAGE = Group("Where the files go", sort_key=20)
ENDPOINT = Group("Endpoint", sort_key=30)
OUTCOME = Group("Outcome", sort_key=31)

_GROUPS = {
    "people": PEOPLE,
    "picture": Group("Picture", sort_key=3),
    "length": Group("Length", sort_key=4),
    "sampling": Group("Sampling", sort_key=5),
    "guidance": Group("Guidance", sort_key=6),
    "speed": Group("Speed", sort_key=7),
    "memory": Group("Memory of the GPU", sort_key=8),
    "weights": Group("Weights", sort_key=9),
}
_PLAIN: dict[str, type] = {"integer": int, "number": float, "boolean": bool, "text": str}
# Types made at run time, which a checker need not follow.
_LITERAL: Any = Literal
_TUPLE: Any = tuple
_ANNOTATED: Any = Annotated


@Parameter(name="*")
@frozen(kw_only=True)
class JobFlags:
    """What the video shows and who speaks."""

    job: Annotated[
        Path | None,
        Parameter(
            help="A job in the wire's JSON, which the other flags then change; - reads stdin.",
            group=JOB,
        ),
    ] = None
    prompt: Annotated[str | None, Parameter(help="What the video shows.", group=JOB)] = None
    image: Annotated[str | None, Parameter(help="The portrait: a file or a URL.", group=JOB)] = None
    video: Annotated[
        str | None, Parameter(help="A video to dub instead of a portrait.", group=JOB)
    ] = None
    audio: Annotated[
        str | None, Parameter(help="Speech of the first person: a file or a URL.", group=JOB)
    ] = None
    audio2: Annotated[str | None, Parameter(help="Speech of the second person.", group=JOB)] = None
    preset: Annotated[
        PresetName | None,
        Parameter(
            help="Several parameters at once; those given explicitly win. "
            + " ".join(f"{name}: {preset.help}" for name, preset in PRESETS.items()),
            group=JOB,
        ),
    ] = None
    tts_text: Annotated[
        str | None,
        Parameter(help="Text to be spoken instead of --audio; (s1), (s2) mark two.", group=PEOPLE),
    ] = None
    tts_voice: Annotated[
        str | None, Parameter(help="Voice of the first speaker.", group=PEOPLE)
    ] = None
    tts_voice2: Annotated[
        str | None, Parameter(help="Voice of the second speaker.", group=PEOPLE)
    ] = None
    tts_language: Annotated[
        str | None, Parameter(help="Language of the text, such as en-us.", group=PEOPLE)
    ] = None
    tts_speed: Annotated[
        float | None, Parameter(help="Pace of the voice, 0.5 to 2.", group=PEOPLE)
    ] = None
    bbox: Annotated[
        tuple[int, int, int, int] | None,
        Parameter(
            help="Box x0 y0 x1 y1 of the (first) speaker, in pixels.", group=PEOPLE, negative=""
        ),
    ] = None
    bbox2: Annotated[
        tuple[int, int, int, int] | None,
        Parameter(help="Box of the second speaker.", group=PEOPLE, negative=""),
    ] = None
    mask: Annotated[
        str | None, Parameter(help="Mask of the first speaker: white is the speaker.", group=PEOPLE)
    ] = None
    mask2: Annotated[str | None, Parameter(help="Mask of the second speaker.", group=PEOPLE)] = None
    request_id: Annotated[
        str | None, Parameter(help="Your own id; the same id again is the same job.", group=JOB)
    ] = None
    webhook: Annotated[
        str | None, Parameter(help="URL that is told when the job ends.", group=JOB)
    ] = None
    execution_timeout_seconds: Annotated[
        float | None, Parameter(help="How long the job may run (1800).", group=JOB)
    ] = None
    ttl_seconds: Annotated[
        float | None,
        Parameter(help="How long it may exist, waiting included (86400).", group=JOB),
    ] = None


@Parameter(name="*")
@frozen(kw_only=True)
class StorageFlags:
    """Where the endpoint puts the files."""

    store: Annotated[
        Literal["s3", "volume", "inline"] | None,
        Parameter(help="Kind of storage; the endpoint's own choice when absent.", group=STORAGE),
    ] = None
    bucket: Annotated[str | None, Parameter(help="S3 bucket.", group=STORAGE)] = None
    region: Annotated[str | None, Parameter(help="Region of the bucket.", group=STORAGE)] = None
    prefix: Annotated[str | None, Parameter(help="Where keys begin.", group=STORAGE)] = None
    playlist: Annotated[
        bool | None,
        Parameter(help="Publish an HLS playlist while the video is made.", group=STORAGE),
    ] = None
    put_url: Annotated[
        str | None, Parameter(help="Presigned URL to which the video is PUT.", group=STORAGE)
    ] = None


@Parameter(name="*")
@frozen(kw_only=True)
class EndpointFlags:
    """Which endpoint; the API key comes from RUNPOD_API_KEY or the profile, never from a flag."""

    endpoint_id: Annotated[
        str | None, Parameter(help="Endpoint; else ITK_ENDPOINT_ID.", group=ENDPOINT)
    ] = None
    base_url: Annotated[
        str | None, Parameter(help="Address of the API; else ITK_BASE_URL.", group=ENDPOINT)
    ] = None
    profile: Annotated[
        str | None, Parameter(help="Section of the profile file.", group=ENDPOINT)
    ] = None
    json: Annotated[
        bool,
        Parameter(
            help="Print one JSON object on stdout.", group=OUTCOME, negative="", show_default=False
        ),
    ] = False


def words_about(entry: CatalogEntry) -> str:
    """The help of a parameter with its unit, range and default."""
    facts = []
    if entry.minimum is not None or entry.maximum is not None:
        facts.append(f"{_number(entry.minimum)} to {_number(entry.maximum)}")
    if entry.multiple_of:
        facts.append(f"{entry.multiple_of}n+{entry.remainder}")
    if entry.unit:
        facts.append(entry.unit)
    if isinstance(entry.default, bool):
        facts.append(f"default {'on' if entry.default else 'off'}")
    elif isinstance(entry.default, int | float) or (entry.choices and entry.default):
        facts.append(f"default {_number(entry.default)}")
    return f"{entry.help} [{', '.join(facts)}]" if facts else entry.help


def _number(value: Any) -> str:
    return "any" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _flag_type(entry: CatalogEntry) -> Any:
    kind = entry.type
    if kind.name == "choice":
        return _LITERAL[kind.choices] | None
    if kind.name == "list":
        inside = tuple(
            _LITERAL[item.choices] if item.name == "choice" else _PLAIN[item.name]
            for item in kind.items
        )
        return _TUPLE[inside] | None if kind.fixed else list[inside[0]] | None
    return _PLAIN[kind.name] | None


def _flag(entry: CatalogEntry) -> Any:
    options = Parameter(
        help=words_about(entry), group=_GROUPS.get(entry.group, JOB), negative_iterable=""
    )
    return _ANNOTATED[_flag_type(entry), options]


def _generation_flags() -> type:
    made = attrs.make_class(
        "GenerationFlags",
        {
            entry.name: attrs.field(default=None, type=_flag(entry), kw_only=True)
            for entry in PARAMETERS
        },
        frozen=True,
    )
    made.__doc__ = "Every generation parameter of the catalog."
    return Parameter(name="*")(made)


GenerationFlags: Any = _generation_flags()


def job_from(flags: JobFlags, generation: Any, storage: StorageFlags | None) -> dict[str, Any]:
    """The request as a mapping: the job file, if any, with what the flags say on top.

    Raises:
        ValidationError: when the flags contradict each other.
    """
    raw = read_job(flags.job) if flags.job else {"input": {}}
    job = raw["input"]
    if flags.image and flags.video:
        raise _usage("--image and --video: give one of them")
    if flags.audio and flags.tts_text:
        raise _usage("--audio and --tts-text: give one of them")
    said: dict[str, Any] = {
        "prompt": flags.prompt,
        "cond_video": _place(flags.image or flags.video),
        "preset": flags.preset,
        "request_id": flags.request_id,
        "cond_audio": _people(_place(flags.audio), _place(flags.audio2)),
        "masks": _people(_place(flags.mask), _place(flags.mask2)),
        "bbox": _people(flags.bbox, flags.bbox2) if flags.bbox2 else flags.bbox,
        "tts_audio": _said(
            text=flags.tts_text,
            human1_voice=flags.tts_voice,
            human2_voice=flags.tts_voice2,
            language=flags.tts_language,
            speed=flags.tts_speed,
        ),
        "output_config": _said(**attrs.asdict(storage)) if storage else None,
        **attrs.asdict(generation),
    }
    job.update({name: value for name, value in said.items() if value is not None})
    return raw


def read_job(path: Path) -> dict[str, Any]:
    """A job file (or, for -, stdin): a whole request, or its input alone."""
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(message=message) from None
    try:
        raw = parse_json(text)
    except ValueError as error:
        raise ValidationError(problems=getattr(error, "problems", (str(error),))) from None
    if not isinstance(raw, dict):
        raise _usage(f"{path}: a job is an object, got a {type(raw).__name__}")
    request = raw if "input" in raw else {"input": raw}
    if not isinstance(request["input"], dict):
        raise _usage(f"{path}: input is an object, got a {type(request['input']).__name__}")
    return request


def _usage(words: str) -> ValidationError:
    return ValidationError(problems=(words,))


def _said(**values: Any) -> dict[str, Any] | None:
    return {name: value for name, value in values.items() if value is not None} or None


def _people(first: Any, second: Any) -> dict[str, Any] | None:
    return _said(person1=first, person2=second)


def _place(value: str | None) -> Any:
    """A file as a Path, so that a missing one is named as such; addresses as they are."""
    if value is None or value.lower().startswith(("http://", "https://", "data:")):
        return value
    if value.startswith("/runpod-volume/") or len(value) > limits.MAX_URL_CHARACTERS:
        return value
    return Path(value)
