"""Speech from text: one voice, or a dialogue of two."""

from .dialogue import SPEECH_RATE, Spoken, Utterance, dialogue, speak
from .espeak import EspeakSynthesiser
from .kokoro import KokoroSynthesiser
from .synthesiser import Synthesiser
from .voices import DEFAULT_VOICES, PUBLISHED_VOICES

__all__ = [
    "DEFAULT_VOICES",
    "PUBLISHED_VOICES",
    "SPEECH_RATE",
    "EspeakSynthesiser",
    "KokoroSynthesiser",
    "Spoken",
    "Synthesiser",
    "Utterance",
    "dialogue",
    "speak",
]
