"""Fields that contradict each other are found, each at its path."""

from typing import Any

import pytest

import itk_schema
from itk_schema import InvalidJobError

JOB: dict[str, Any] = {
    "prompt": "A woman sings",
    "cond_video": "https://example.com/a.jpg",
    "cond_audio": {"person1": "https://example.com/a.wav"},
}
TWO = {**JOB, "cond_audio": {"person1": "/a.wav", "person2": "/b.wav"}}
TTS = {"prompt": "a", "cond_video": "/a.png", "tts_audio": {"text": "Hello."}}

CONTRADICTIONS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (JOB, {"tts_audio": {"text": "Hi."}}, "input.tts_audio", "to be absent"),
    (JOB, {"cond_audio": None}, "input.cond_audio", "speech here"),
    (JOB, {"audio_type": "add"}, "input.audio_type", "two speakers"),
    (JOB, {"speaker_order": ["person1", "person2"]}, "input.speaker_order", "two speakers"),
    (TWO, {"speaker_order": ["person1", "person2"]}, "input.speaker_order", 'audio_type "add"'),
    (
        TWO,
        {"audio_type": "add", "speaker_order": ["person1", "person1"]},
        "input.speaker_order",
        "[",
    ),
    (TWO, {"bbox": [0, 0, 1, 1]}, "input.bbox", "a box for each of two speakers"),
    (JOB, {"bbox": {"person1": [0, 0, 1, 1], "person2": [1, 0, 2, 1]}}, "input.bbox", "one box"),
    (TWO, {"bbox": {"person1": [0, 0, 1, 1]}}, "input.bbox.person2", "a list of four"),
    (JOB, {"bbox": [0, 0, 1]}, "input.bbox", "[x0, y0, x1, y1]"),
    (JOB, {"bbox": [0, 0, 1, -1]}, "input.bbox[3]", "a whole number from 0"),
    (JOB, {"bbox": [0, 5, 9, 5]}, "input.bbox", "x0 < x1 and y0 < y1"),
    (TWO, {"masks": {"person1": "/m.png"}}, "input.masks.person2", "a mask for each"),
    (JOB, {"masks": {"person1": "/m", "person2": "/n"}}, "input.masks.person2", "one mask"),
    (JOB, {"masks": {"person1": "/m"}, "bbox": [0, 0, 1, 1]}, "input.masks", "to be absent"),
    (JOB, {"motion_frame": 81}, "input.motion_frame", "a whole number from 1 to 80"),
    (JOB, {"motion_frame": 9, "frame_num": 9}, "input.motion_frame", "a whole number from 1"),
    (JOB, {"focus": [0.5, 1.5]}, "input.focus[1]", "a number from 0 to 1"),
    (JOB, {"focus": 0.5}, "input.focus", "a list of two numbers"),
    (JOB, {"quant_dir": "fp8"}, "input.quant_dir", "quant beside it"),
    (JOB, {"schema_version": 2}, "input.schema_version", "1"),
    (JOB, {"loras": ["a", "a"]}, "input.loras", "a list of at most 8 different names"),
    (JOB, {"loras": ["../a"]}, "input.loras[0]", "a name"),
    (
        JOB,
        {"speech_start_seconds": 2, "speech_end_seconds": 2.2},
        "input.speech_end_seconds",
        "at least 0.4 s after speech_start_seconds, which is 2",
    ),
    (TTS, {"tts_audio": {"text": "Hi.", "human2_voice": "af_heart"}}, "input.tts_audio.text", ""),
    (TTS, {"tts_audio": {"text": "Hi.", "speed": 3}}, "input.tts_audio.speed", "a number"),
    (
        JOB,
        {"output_config": {"store": "inline", "bucket": "abc"}},
        "input.output_config.bucket",
        "",
    ),
    (
        JOB,
        {"output_config": {"store": "inline", "playlist": True}},
        "input.output_config.playlist",
        "",
    ),
    (
        JOB,
        {"output_config": {"put_url": "https://a/b", "playlist": True}},
        "input.output_config.playlist",
        "",
    ),
    (JOB, {"output_config": {"put_url": "ftp://a/b"}}, "input.output_config.put_url", "an http"),
    (JOB, {"output_config": {"prefix": "../up"}}, "input.output_config.prefix", "a relative"),
    (JOB, {"output_config": {"prefix": "/abs"}}, "input.output_config.prefix", "a relative"),
    (JOB, {"output_config": {"prefix": "a" * 2048}}, "input.output_config.prefix", "a relative"),
    (JOB, {"webhook": "file:///etc/passwd"}, "input.webhook", "an http(s) URL"),
    (JOB, {"webhook": "https://user:secret@host/"}, "input.webhook", "an http(s) URL"),
    (JOB, {"cond_video": "me.jpg"}, "input.cond_video", "a data: URI"),
    (JOB, {"cond_video": "file:///etc/passwd"}, "input.cond_video", "a data: URI"),
    (JOB, {"cond_audio": {"person1": "s3://bucket/key"}}, "input.cond_audio.person1", "a data:"),
    (JOB, {"cond_audio": "https://example.com/a.wav"}, "input.cond_audio", "an object"),
]


@pytest.mark.parametrize(
    ("job", "change", "path", "needed"),
    CONTRADICTIONS,
    ids=[f"{number}-{row[2]}" for number, row in enumerate(CONTRADICTIONS)],
)
def test_each_contradiction_is_named(
    job: dict[str, Any], change: dict[str, Any], path: str, needed: str
) -> None:
    """One wrong thing is one problem, at its path."""
    with pytest.raises(InvalidJobError) as caught:
        itk_schema.parse_input({**job, **change})
    (problem,) = caught.value.problems
    assert problem.path == path
    assert problem.needed.startswith(needed)
