"""Brings a job's files into its folder and reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from attrs import define, frozen

import itk_media
from itk_media import LocalFile, MediaError, Track, Waveform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np

    from itk_media import VideoFrames
    from itk_schema import JobInput, Parameters

SILENCE = 1e-4  # a largest sample below this is silence, whatever its cause
MIN_SPEECH_SECONDS = 0.4
SLACK_SECONDS = 0.05  # a rounded length is nobody's mistake


@define
class UnusableInputError(Exception):
    """A file of the job was fetched and cannot be used; the message names its field."""

    message: str
    reason: str

    def __str__(self) -> str:
        return self.message


class Fetch(Protocol):
    """Makes a local file of a media string."""

    def __call__(
        self, source: str, *, kind: Literal["picture", "speech", "mask"], into: Path
    ) -> LocalFile:
        """Bring what `source` names into the folder `into`; MediaError when that fails."""
        ...


@frozen(kw_only=True)
class Inputs:
    """Everything that a job brought, as files; sizes in bytes."""

    picture: LocalFile
    speeches: tuple[LocalFile, ...]
    masks: tuple[LocalFile, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """What the log says of the downloads."""
        sizes = {
            "video_bytes": self.picture.bytes,
            "audio_bytes": sum(speech.bytes for speech in self.speeches),
        }
        return sizes | ({"mask_bytes": sum(m.bytes for m in self.masks)} if self.masks else {})


@frozen(kw_only=True, eq=False)
class Heard:
    """The speech of a job: each speaker's for the model, the sound of all for people."""

    speeches: tuple[Waveform, ...]
    track: Track
    warnings: tuple[str, ...]
    loudness: Literal["normalise", "keep"] = "normalise"
    laid_out: bool = False  # whether `speeches` already wait for each other


def fetch_inputs(
    job: JobInput, *, fetch: Fetch, into: Path, check: Callable[[], None], path: str
) -> Inputs:
    """Fetch every file that the job names; `check` runs between them and may raise.

    Raises:
        MediaError: as `fetch` does, with the field's path in front of its message.
    """

    def one(source: str, kind: Literal["picture", "speech", "mask"], field: str) -> LocalFile:
        check()
        folder = into / field
        folder.mkdir()
        with naming(f"{path}.{field}"):
            return fetch(source, kind=kind, into=folder)

    speech, masks = job.cond_audio, job.masks
    return Inputs(
        picture=one(job.cond_video, "picture", "cond_video"),
        speeches=tuple(
            one(source, "speech", f"cond_audio.{person}")
            for person, source in (
                (("person1", speech.person1), ("person2", speech.person2)) if speech else ()
            )
            if source is not None
        ),
        masks=tuple(
            one(source, "mask", f"masks.{person}")
            for person, source in (
                (("person1", masks.person1), ("person2", masks.person2)) if masks else ()
            )
            if source is not None
        ),
    )


def see(inputs: Inputs, *, path: str) -> np.ndarray | VideoFrames:
    """The portrait as uint8 [H, W, 3], or the dub's frames.

    Raises:
        MediaError: the file cannot be read.
        UnusableInputError: the file has no picture.
    """
    with naming(f"{path}.cond_video"):
        kind = itk_media.probe(inputs.picture.path).kind
        if kind == "image":
            return itk_media.read_image(inputs.picture.path)
        if kind == "video":
            return itk_media.open_video(inputs.picture.path)
    message = f"{path}.cond_video: needs a picture or a video, got a file with sound only"
    raise UnusableInputError(message, "no_picture")


def read_masks(inputs: Inputs, *, path: str) -> tuple[np.ndarray, ...]:
    """The speakers' masks as bool [H, W]; MediaError when one cannot be read."""
    masks = []
    for number, mask in enumerate(inputs.masks, 1):
        with naming(f"{path}.masks.person{number}"):
            masks.append(itk_media.read_mask(mask.path))
    return tuple(masks)


def hear(inputs: Inputs, parameters: Parameters, *, path: str) -> Heard:
    """The speech of one or two people, cut to the part that the job wants.

    Two people are cut where both are heard together: what they say is laid out first.

    Raises:
        MediaError: a file cannot be read.
        UnusableInputError: a speech, or what is left of it, is shorter than 0.4 s.
    """
    parts = [
        _hear_one(speech, path=f"{path}.cond_audio.person{number}")
        for number, speech in enumerate(inputs.speeches, 1)
    ]
    speeches = tuple(speech for speech, _ in parts)
    track = parts[0][1]
    cut = bool(parameters.speech_start_seconds or parameters.speech_end_seconds is not None)
    if len(parts) == 2:
        order = {
            "audio_type": parameters.audio_type,
            "speaker_order": parameters.speaker_order,
        }
        _, both = itk_media.mix_speeches(track, parts[1][1], **order)
        track = both.scaled(1.0)
        if cut:
            speeches, _ = itk_media.mix_speeches(*speeches, **order)
    start, end, warnings = wanted_part(speeches[0].duration_seconds, parameters, path=path)
    if cut:
        speeches = tuple(speech.cut(start, end) for speech in speeches)
        track = track.cut(start, end)
    return Heard(
        speeches=speeches,
        track=track,
        warnings=(*warnings, *silent_speeches(speeches, field="cond_audio.person")),
        laid_out=cut and len(parts) == 2,
    )


def _hear_one(file: LocalFile, *, path: str) -> tuple[Waveform, Track]:
    with naming(path):
        track = itk_media.read_track(file.path)
        speech = itk_media.speech_of(track)
    require_enough(speech.duration_seconds, path=path)
    return speech, track


def require_enough(duration_seconds: float, *, path: str) -> None:
    """Raise UnusableInputError where a speech is shorter than 0.4 s."""
    if duration_seconds < MIN_SPEECH_SECONDS:
        message = (
            f"{path}: needs at least {MIN_SPEECH_SECONDS:g} s of speech, "
            f"got {duration_seconds:.2f} s"
        )
        raise UnusableInputError(message, "too_short")


def wanted_part(
    duration_seconds: float, parameters: Parameters, *, path: str
) -> tuple[float, float | None, tuple[str, ...]]:
    """Which seconds of the speech the job wants, and what to say where it has fewer.

    Raises:
        UnusableInputError: the speech ends before, or less than 0.4 s after the part begins.
    """
    start, end = parameters.speech_start_seconds, parameters.speech_end_seconds
    left = duration_seconds - start
    if left < MIN_SPEECH_SECONDS:
        message = (
            f"{path}.speech_start_seconds: needs at least {MIN_SPEECH_SECONDS:g} s of speech "
            f"after it, got {start:g}, and the speech is {duration_seconds:.2f} s long "
            f"({max(left, 0.0):.2f} s are left)"
        )
        raise UnusableInputError(message, "too_short")
    if end is not None and end > duration_seconds + SLACK_SECONDS:
        warning = f"speech_end_seconds is {end:g}, and the speech ends at {duration_seconds:.2f} s"
        return start, None, (warning,)
    return start, end, ()


def silent_speeches(speeches: Iterable[Waveform], *, field: str) -> tuple[str, ...]:
    """One sentence for each speech in which nothing is heard."""
    return tuple(
        f"{field}{number} is silent"
        for number, speech in enumerate(speeches, 1)
        if float(abs(speech.samples).max(initial=0.0)) < SILENCE
    )


class naming:  # noqa: N801  reads as a statement: with naming(field)
    """Puts the field in front of what a media error says."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, MediaError) and not error.message.startswith(self._path):
            error.message = f"{self._path}: {error.message}"
