"""Turns text into one speech, or two that take turns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from itk_engine.errors import InvalidRequestError
from itk_engine.tts.voices import DEFAULT_VOICES, require_voice
from itk_media import Track, Waveform, resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from itk_engine.tts.synthesiser import Synthesiser
    from itk_media import Samples
    from itk_schema import TtsAudio

SPEECH_RATE = 16000  # what the model hears
_MARK = re.compile(r"\(s([0-9]+)\)")
_LINE_ENDS = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
_UNSPEAKABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")  # a C library would stop at the first


@frozen
class Utterance:
    """What one speaker, 1 or 2, says before the other goes on."""

    speaker: int
    text: str


@frozen(kw_only=True, eq=False)
class Spoken:
    """A text that has been spoken.

    `tracks` has for each speaker all that is heard, at the synthesiser's rate and of one
    length: zeros while the other one speaks.
    """

    tracks: tuple[Waveform, ...]

    @property
    def speeches(self) -> tuple[Waveform, ...]:
        """Each speaker at 16 kHz, for the model; the loudness is meant to be kept."""
        return tuple(resample(track, SPEECH_RATE) for track in self.tracks)

    @property
    def track(self) -> Track:
        """Everything that is said, at the synthesiser's rate, for people."""
        total = np.sum([track.samples for track in self.tracks], axis=0)
        return Track(samples=total[:, None], sample_rate=self.tracks[0].sample_rate)


def speak(
    tts: TtsAudio,
    synthesiser: Synthesiser,
    *,
    check: Callable[[], None] = lambda: None,
    path: str = "tts_audio",
) -> Spoken:
    """Speak a text: as it is for one speaker, with its marks (s1) and (s2) for two.

    `check` is called between the pieces and may raise, which ends the work. `path` is the
    field's name in errors.
    Raises InvalidRequestError for an unknown voice or language, or when nothing can be said.
    """
    voices = tuple(
        require_voice(said or default, synthesiser.voices, field=f"{path}.human{number}_voice")
        for number, (said, default) in enumerate(
            zip((tts.human1_voice, tts.human2_voice), DEFAULT_VOICES, strict=True), 1
        )
        if number <= tts.speakers
    )
    turns = [Utterance(1, tts.text)] if len(voices) == 1 else dialogue(tts.text)
    parts: list[tuple[int, Samples]] = []
    try:
        for turn in turns:
            for piece in _said(tts, turn, synthesiser, voice=voices[turn.speaker - 1]):
                parts.append((turn.speaker, piece))
                check()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{path}.{error.field}", error.needed, error.came) from error
    if not any(len(samples) for _, samples in parts):
        raise InvalidRequestError(
            f"{path}.text", "words that a voice can say", repr(_shortened(tts.text))
        )
    return Spoken(tracks=_tracks(parts, len(voices), synthesiser.sample_rate))


def dialogue(text: str) -> list[Utterance]:
    """Return who says what in `(s1) ... (s2) ...`.

    What stands before the first mark, and what speakers other than 1 and 2 say, is left out,
    and takes no time.
    """
    _, *marked = _MARK.split(text)
    return [
        Utterance(int(speaker), said.strip())
        for speaker, said in zip(marked[::2], marked[1::2], strict=True)
        if speaker in {"1", "2"}
    ]


def _said(
    tts: TtsAudio, turn: Utterance, synthesiser: Synthesiser, *, voice: str
) -> Iterator[Samples]:
    for line in _lines(turn.text):
        yield from synthesiser.say(
            line,
            voice=voice,
            language=tts.language,
            speed=1.0 if tts.speed is None else tts.speed,
        )


def _lines(text: str) -> Iterator[str]:
    """Yield the lines that have something to say; each is spoken by itself."""
    for line in _LINE_ENDS.split(text):
        said = _UNSPEAKABLE.sub(" ", line).strip()
        if said:
            yield said


def _tracks(
    parts: list[tuple[int, Samples]], speakers: int, sample_rate: int
) -> tuple[Waveform, ...]:
    """Lay the parts one after the other, each on its speaker's track."""
    return tuple(
        Waveform(
            samples=np.concatenate(
                [samples if who == number else np.zeros_like(samples) for who, samples in parts]
            ),
            sample_rate=sample_rate,
        )
        for number in range(1, speakers + 1)
    )


def _shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
