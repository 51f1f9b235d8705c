"""The published Kokoro voices, by name, and the languages that their names tell."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from itk_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_VOICES = ("am_adam", "af_heart")  # first and second speaker, as in the reference

# Kokoro 82M, version 1.0. The first letter tells the language, the second f or m the voice.
_NAMES = {
    "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
    "am": "adam echo eric fenrir liam michael onyx puck santa",
    "bf": "alice emma isabella lily",
    "bm": "daniel fable george lewis",
    "ef": "dora",
    "em": "alex santa",
    "ff": "siwis",
    "hf": "alpha beta",
    "hm": "omega psi",
    "if": "sara",
    "im": "nicola",
    "jf": "alpha gongitsune nezumi tebukuro",
    "jm": "kumo",
    "pf": "dora",
    "pm": "alex santa",
    "zf": "xiaobei xiaoni xiaoxiao xiaoyi",
    "zm": "yunjian yunxi yunxia yunyang",
}
PUBLISHED_VOICES = tuple(
    f"{prefix}_{name}" for prefix, names in _NAMES.items() for name in names.split()
)
LANGUAGES = {
    "a": "en-us",
    "b": "en-gb",
    "e": "es",
    "f": "fr-fr",
    "h": "hi",
    "i": "it",
    "j": "ja",
    "p": "pt-br",
    "z": "zh",
}
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,3}")
_SHORT = {"en": "en-us", "en-uk": "en-gb", "fr": "fr-fr", "pt": "pt-br", "cmn": "zh"}


def require_voice(voice: str, voices: Sequence[str], *, field: str) -> str:
    """Return a voice that exists.

    Raises:
        InvalidRequestError: names the field and the voices whose names are nearest.
    """
    if voice in voices:
        return voice
    near = get_close_matches(voice.lower(), voices, n=3, cutoff=0.0)
    raise InvalidRequestError(
        field, f"one of {len(voices)} voices, such as {', '.join(near)}", repr(voice)
    )


def language_of(voice: str, language: str | None) -> str:
    """Return the language that was asked for, else the voice's own, as a lower-case tag.

    Raises:
        InvalidRequestError: what was asked for is no tag.
    """
    if language is None:
        return LANGUAGES.get(voice[:1], "en-us")
    tag = language.lower()
    if not _TAG.fullmatch(tag):
        raise InvalidRequestError("language", "a tag such as en-us", repr(language))
    return _SHORT.get(tag, tag)
