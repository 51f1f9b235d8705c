"""The page about speech from text."""

import re
from pathlib import Path

import pytest

from itk_engine.tts import EspeakSynthesiser
from itk_media import probe
from itk_schema import parse_input, parse_json

PAGE = (Path(__file__).parents[4] / "docs" / "tts.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the page's only block in that language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return code


def test_the_pages_job_is_a_job() -> None:
    """What the page says to send passes the contract."""
    assert parse_input(parse_json(block("json"))).tts_audio.speakers == 2


@pytest.mark.usefixtures("espeak")
def test_the_pages_example_speaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pasted as it stands, it writes a sound and says what the model hears."""
    exec(compile(block("python"), "tts.md", "exec"), {"folder": tmp_path})  # noqa: S102  our own
    assert capsys.readouterr().out == "16000 True\n"
    facts = probe(tmp_path / "talk.wav")
    assert facts.sample_rate == EspeakSynthesiser.load().sample_rate
