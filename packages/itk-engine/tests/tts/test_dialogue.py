"""Who says what, and when, in a text with marks."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from itk_engine.errors import InvalidRequestError
from itk_engine.tts import dialogue, speak
from itk_schema import TtsAudio

GOLDEN = Path(__file__).parent.parent / "golden" / "manifest.json"


def golden_dialogues() -> list[dict[str, Any]]:
    """Return what the reference made of texts with marks."""
    return json.loads(GOLDEN.read_text())["entries"]["utils/all"]["facts"]["tts"]


@pytest.mark.parametrize("case", golden_dialogues(), ids=lambda case: case["text"][:12])
def test_a_dialogue_is_what_the_reference_makes_of_it(humming: Any, case: dict[str, Any]) -> None:
    """Utterances, voices, lengths and who is heard when equal the reference's."""
    said = [(turn.text, f"v{turn.speaker}") for turn in dialogue(case["text"])]
    assert said == [(text, voice) for text, voice, _, _ in case["calls"]]

    tts = TtsAudio(text=case["text"] + "(s1)(s2)", human1_voice="v1", human2_voice="v2")
    spoken = speak(tts, humming)
    newlines = 240 * case["text"].count("\n")  # the golden's synthesiser spoke them too
    assert [len(speech.samples) for speech in spoken.speeches] == [
        length - round(newlines * 16 / 24) for length in case["lengths"]
    ]
    for speech, name in zip(spoken.speeches, ("active_s1", "active_s2"), strict=True):
        active = np.zeros(len(speech.samples), bool)
        for start, end in case[name]:
            active[start:end] = True
        heard = np.abs(speech.samples) > 0.05
        assert np.count_nonzero(heard != active) <= 2 * 2 * max(1, len(case[name]))


def test_two_tracks_have_one_length_and_the_sum_is_what_people_hear(humming: Any) -> None:
    """While one speaks the other is zero, at the synthesiser's own rate."""
    spoken = speak(TtsAudio(text="(s1)Ab(s2)C", human1_voice="v1", human2_voice="v2"), humming)
    first, second = (track.samples for track in spoken.tracks)
    assert len(first) == len(second) == 720
    assert not first[480:].any()
    assert not second[:480].any()
    assert spoken.track.sample_rate == 24000
    np.testing.assert_array_equal(spoken.track.samples[:, 0], first + second)


def test_one_voice_says_the_text_as_it_is_line_by_line(humming: Any) -> None:
    """Lines are spoken by themselves; empty ones, and what no voice can say, are not."""
    tts = TtsAudio(text="One.\n\n  \nTwo\x07!", human1_voice="v2", language="en-gb", speed=1.5)
    spoken = speak(tts, humming)
    assert humming.lines == [("One.", "v2", "en-gb", 1.5), ("Two !", "v2", "en-gb", 1.5)]
    assert len(spoken.tracks) == 1
    assert spoken.tracks[0].duration_seconds == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("tts", "words"),
    [
        ({"text": "Hi", "human1_voice": "v3"}, "tts_audio.human1_voice: needed one of 2 voices"),
        ({"text": "Hi"}, "tts_audio.human1_voice"),
        ({"text": "(s2)", "human1_voice": "v1", "human2_voice": "V2"}, "such as v2, v1, got 'V2'"),
        (
            {"text": "(s1) (s2)", "human1_voice": "v1", "human2_voice": "v2"},
            "tts_audio.text: needed words that a voice can say",
        ),
    ],
)
def test_what_cannot_be_said_is_an_error_that_names_the_field(
    humming: Any, tts: dict[str, str], words: str
) -> None:
    """An unknown voice lists its nearest neighbours; a dialogue without words is none."""
    tts = {**tts, "text": "(s1)" + tts["text"]} if "human2_voice" in tts else tts
    with pytest.raises(InvalidRequestError) as caught:
        speak(TtsAudio(**tts), humming)
    assert words in str(caught.value)


def test_the_caller_may_stop_between_pieces(humming: Any) -> None:
    """A cancelled job does not wait for the whole text."""

    def stop() -> None:
        raise TimeoutError

    tts = TtsAudio(text="One.\nTwo.", human1_voice="v1")
    with pytest.raises(TimeoutError):
        speak(tts, humming, check=stop)
    assert len(humming.lines) <= 1


def test_a_text_of_blanks_is_parsed_at_once() -> None:
    """The time does not grow with the square of the length."""
    began = time.monotonic()
    turns = dialogue("(s1)" + " \n" * 10_000 + "x(s2) y" + "(s" * 5_000)
    assert [turn.speaker for turn in turns] == [1, 2]
    assert time.monotonic() - began < 0.5
