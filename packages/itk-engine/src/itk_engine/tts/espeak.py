"""The stand-in voice: espeak-ng's library, called in this process."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from itk_engine.errors import InvalidRequestError, MissingSynthesiserError
from itk_engine.tts.voices import PUBLISHED_VOICES, language_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from itk_media import Samples

# Names and numbers of espeak-ng's public header, speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE = 1
_ON_SAMPLES = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)

_WORDS_A_MINUTE = 175  # espeak-ng's own pace
_LANGUAGES = {
    "en-gb": "en",
    "fr-fr": "fr",
    "zh": "cmn",
}  # where espeak-ng's word for a language differs
_SYSTEM_LIBRARY = "libespeak-ng.so.1"

# The library is one for the whole process and keeps one voice at a time.
_speaking = threading.Lock()


class EspeakSynthesiser:
    """Speaks at once, without weights, like a machine.

    It answers to the names of Kokoro's published voices, so that a job can be tried here and
    made there: language and sex are the named voice's, the rest is espeak-ng. Its pitch
    flutters, so that a text is never quite the same twice.
    """

    name = "espeak-ng"
    voices = tuple(sorted(PUBLISHED_VOICES))

    def __init__(self, library: ctypes.CDLL, sample_rate: int) -> None:
        self._library = library
        self._sample_rate = sample_rate

    @classmethod
    def load(cls) -> EspeakSynthesiser:
        """Open the library of the package espeakng-loader, else the system's.

        Raises:
            MissingSynthesiserError: there is neither.
        """
        library, voices_folder = _open_library()
        library.espeak_Initialize.argtypes = [
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_int,
        ]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        with _speaking:
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, voices_folder, _DO_NOT_EXIT)
        if rate <= 0:
            what = "espeak-ng's library was found, but what it knows of languages"
            raise MissingSynthesiserError(what)
        return cls(library, rate)

    @property
    def sample_rate(self) -> int:
        """Samples a second, as the library decides."""
        return self._sample_rate

    def say(
        self, text: str, *, voice: str, language: str | None = None, speed: float = 1.0
    ) -> Iterator[Samples]:
        """Yield a line as one piece of mono float32 [N].

        Raises:
            InvalidRequestError: espeak-ng does not know the language.
        """
        tag = language_of(voice, language)
        known_as = f"{_LANGUAGES.get(tag, tag)}+{_variant(voice)}"
        heard: list[Any] = []

        def on_samples(samples: Any, count: int, _events: Any) -> int:
            if samples and count > 0:
                heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        callback = _ON_SAMPLES(on_samples)
        said = text.encode("utf-8", "ignore") + b"\0"
        with _speaking:
            if self._library.espeak_SetVoiceByName(known_as.encode()) != 0:
                raise InvalidRequestError("language", "one that espeak-ng speaks", repr(tag))
            self._library.espeak_SetParameter(_RATE, round(_WORDS_A_MINUTE * speed), 0)
            self._library.espeak_SetSynthCallback(callback)
            self._library.espeak_Synth(
                said, len(said), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
            )
        if heard:
            yield np.concatenate(heard).astype(np.float32) / np.float32(32768)


def _open_library() -> tuple[ctypes.CDLL, bytes | None]:
    """Return the library and the folder with its languages; None: where it was built to look."""
    try:
        import espeakng_loader
    except ImportError:
        pass
    else:
        folder = espeakng_loader.get_data_path().encode()
        return ctypes.CDLL(espeakng_loader.get_library_path()), folder
    try:
        return ctypes.CDLL(_SYSTEM_LIBRARY), None
    except OSError as error:
        what = "espeak-ng's library"
        raise MissingSynthesiserError(
            what, "pip install 'itk-engine[tts]', or install espeak-ng"
        ) from error


def _variant(voice: str) -> str:
    """Return which of espeak-ng's voices m1 .. m8 or f1 .. f5 stands for a published name."""
    same_kind = [name for name in PUBLISHED_VOICES if name[:2] == voice[:2]]
    number = same_kind.index(voice) if voice in same_kind else 0
    sex, count = ("f", 5) if voice[1:2] == "f" else ("m", 8)
    return f"{sex}{1 + number % count}"
