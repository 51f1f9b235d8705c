"""The stand-in voice, for real: from text to what the transformer hears."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from itk_engine.engine import Engine
from itk_engine.errors import InvalidRequestError
from itk_engine.tts import PUBLISHED_VOICES, EspeakSynthesiser, speak
from itk_media import loudness_gain
from itk_schema import TtsAudio


def said(espeak: EspeakSynthesiser, text: str, **how: Any) -> np.ndarray:
    """Return everything that is said."""
    return np.concatenate([np.zeros(0, np.float32), *espeak.say(text, **how)])


def test_every_published_voice_says_something(espeak: EspeakSynthesiser) -> None:
    """Names of Kokoro's voices work here, and speak within -1..1."""
    assert espeak.voices == tuple(sorted(PUBLISHED_VOICES))
    for voice in espeak.voices:
        samples = said(espeak, "one two", voice=voice)
        assert samples.dtype == np.float32
        assert len(samples) > 0.4 * espeak.sample_rate
        assert 0.05 < np.abs(samples).max() <= 1.0


def test_voice_language_and_speed_matter(espeak: EspeakSynthesiser) -> None:
    """A woman's voice is higher, another language takes other sounds, twice the speed half."""
    text = "Good morning to you all"
    usual = said(espeak, text, voice="am_adam")
    assert _pitch(said(espeak, text, voice="af_heart")) > 1.3 * _pitch(usual)
    spelled = said(espeak, text, voice="am_adam", language="es")
    assert abs(len(spelled) / len(usual) - 1) > 0.05  # the same text again: 0.02
    fast = said(espeak, text, voice="am_adam", speed=2.0)
    assert 0.3 < len(fast) / len(usual) < 0.7


def _pitch(samples: np.ndarray, rate: int = 22050) -> float:
    """Return the pitch between 70 and 350 Hz at which the sound repeats itself most, in hertz."""
    power = np.abs(np.fft.rfft(samples[:rate], 2 * rate)) ** 2
    likeness = np.fft.irfft(power)
    shortest, longest = rate // 350, rate // 70
    return rate / (shortest + int(likeness[shortest:longest].argmax()))


@pytest.mark.parametrize("language", ["tlh", "../en", "en us"])
def test_an_unknown_language_is_named(espeak: EspeakSynthesiser, language: str) -> None:
    """No other language is spoken in its place, and no file elsewhere is read."""
    with pytest.raises(InvalidRequestError, match="language: needed"):
        said(espeak, "one", voice="am_adam", language=language)


def test_the_path_to_an_unknown_language_is_told(espeak: EspeakSynthesiser) -> None:
    """The error names the caller's field."""
    with pytest.raises(InvalidRequestError, match=r"input\.tts_audio\.language"):
        speak(TtsAudio(text="one", language="tlh"), espeak, path="input.tts_audio")


def test_a_dialogue_becomes_a_video(
    espeak: EspeakSynthesiser, engine: Engine, request_of: Callable[..., Any]
) -> None:
    """Text is spoken, heard by the model at the loudness it has, and drives every frame."""
    spoken = speak(TtsAudio(text="(s1) Hello! (s2) Hi."), espeak)
    request = evolve(
        request_of(max_frame_num=9, sample_steps=1),
        speeches=spoken.speeches,
        speech_loudness="keep",
    )
    prepared = engine.prepare(request)
    assert prepared.frames == 9
    assert len(prepared.scene.speeches) == 2
    both = sum(speech.samples for speech in spoken.speeches)
    np.testing.assert_array_equal(prepared.mixed_speech.samples, both)
    video = np.concatenate([chunk.frames for chunk in engine.generate(prepared)])
    assert len(video) == 9


def test_recorded_speech_is_still_brought_to_one_loudness(
    espeak: EspeakSynthesiser, engine: Engine, request_of: Callable[..., Any]
) -> None:
    """Keeping the loudness is asked for; it is not the rule."""
    speeches = speak(TtsAudio(text="(s1) Hello you! (s2) Hi to you."), espeak).speeches
    request = evolve(request_of(max_frame_num=9), speeches=speeches)
    mixed = engine.prepare(request).mixed_speech.samples
    expected = sum(s.samples * loudness_gain(s.samples, 16000) for s in speeches)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
