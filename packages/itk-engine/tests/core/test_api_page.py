"""The page about the engine's Python API."""

import re
import tempfile
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs" / "engine.md"


def test_every_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, pasted as they stand, they print what the page is about."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102  our own page
    said = capsys.readouterr().out
    assert "tiny " in said
    assert "decode: chunk 2 of 2, step 2" in said
    assert "12 frames in 2 chunks" in said
    assert "25 frames: one after the other" in said
    assert "bbox | x0 < x1 within 0..96" in said
    assert "INFINITETALK_DIR points to, not found: /nowhere.safetensors" in said
