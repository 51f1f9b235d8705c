"""Who speaks in a job: recorded speech or text to be spoken."""

import re
from typing import Literal, TypeAlias

from attrs import field, frozen

from .checks import born_valid
from .limits import MAX_SPEECH_BYTES, MAX_TTS_CHARACTERS, inline_length
from .rules import MEDIA, SOME_TEXT, rule

AudioType: TypeAlias = Literal["para", "add"]
Speaker: TypeAlias = Literal["person1", "person2"]

SPEECH_WORDS = "a data: URI, an http(s) URL, base64, or an absolute path on the volume"
_MAX_SPEECH_CHARACTERS = inline_length(MAX_SPEECH_BYTES)
_VOICE = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(?![\s\S])"
_LANGUAGE = r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}(?![\s\S])"


@frozen(kw_only=True)
class CondAudio:
    """Recorded speech of one person or two."""

    person1: str = field(
        metadata=rule(
            help="Speech of the first speaker.",
            group="people",
            pattern=MEDIA,
            words=SPEECH_WORDS,
            max_length=_MAX_SPEECH_CHARACTERS,
        )
    )
    person2: str | None = field(
        default=None,
        metadata=rule(
            help="Speech of the second speaker; its presence makes two speakers.",
            group="people",
            pattern=MEDIA,
            words=SPEECH_WORDS,
            max_length=_MAX_SPEECH_CHARACTERS,
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)

    @property
    def speakers(self) -> int:
        """How many people speak: 1 or 2."""
        return 1 if self.person2 is None else 2


@frozen(kw_only=True)
class TtsAudio:
    """Text that a synthesiser speaks; `(s1) ... (s2) ...` makes a dialogue of two."""

    text: str = field(
        metadata=rule(
            help="What is said; `(s1) ... (s2) ...` marks who says it.",
            group="people",
            pattern=SOME_TEXT,
            words=f"text that is not blank, of at most {MAX_TTS_CHARACTERS} characters",
            max_length=MAX_TTS_CHARACTERS,
        )
    )
    human1_voice: str | None = field(
        default=None,
        metadata=rule(
            help="Voice of the first speaker, by name.",
            group="people",
            pattern=_VOICE,
            words="the name of a voice, such as am_adam",
        ),
    )
    human2_voice: str | None = field(
        default=None,
        metadata=rule(
            help="Voice of the second speaker, by name; its presence makes two speakers.",
            group="people",
            pattern=_VOICE,
            words="the name of a voice, such as af_heart",
        ),
    )
    language: str | None = field(
        default=None,
        metadata=rule(
            help="Language of the text; the voice's own when absent.",
            group="people",
            pattern=_LANGUAGE,
            words="a language tag such as en-us",
        ),
    )
    speed: float | None = field(
        default=None,
        metadata=rule(
            help="How fast the text is spoken; 1 is the voice's own pace.",
            group="people",
            unit="times",
            minimum=0.5,
            maximum=2.0,
        ),
    )

    def __attrs_post_init__(self) -> None:
        born_valid(self)

    @property
    def speakers(self) -> int:
        """How many people speak: 1 or 2."""
        return 2 if self.human2_voice is not None or names_second_speaker(self.text) else 1


def names_second_speaker(text: str) -> bool:
    """Tell whether a text to be spoken gives lines to a second speaker."""
    return re.search(r"\(s2\)", text) is not None
