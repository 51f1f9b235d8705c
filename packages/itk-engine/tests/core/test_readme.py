"""The README's example."""

import re
import tempfile
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_example_makes_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasted as it stands, it writes an MP4 with as many frames as it says."""
    from itk_media import probe

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    exec(compile(code[1], str(README), "exec"), {})  # noqa: S102  our own README
    assert capsys.readouterr().out == "12 frames in 2 chunks\n"
    (video,) = tmp_path.glob("*/talk.mp4")
    assert probe(video).duration_seconds == pytest.approx(12 / 25)
