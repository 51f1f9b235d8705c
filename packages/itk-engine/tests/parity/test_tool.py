"""The parity tool itself."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from itk_engine.parity import Check, Verdict, summary
from itk_engine.parity.__main__ import main
from itk_engine.parity.verdict import close, equal

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = "dit/two_default"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy one case to a folder of its own."""
    manifest = json.loads((GOLDEN / "manifest.json").read_text())
    entry = manifest["entries"][CASE]
    for name in (entry["weights"], entry["io"]):
        shutil.copy(GOLDEN / name, tmp_path / name)
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": {CASE: entry}}))
    return tmp_path


def test_a_case_that_agrees_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a case, then the count; the exit code is zero."""
    assert main([str(folder)]) == 0
    case, last = capsys.readouterr().out.splitlines()
    assert case.startswith(CASE)
    assert case.endswith("passed")
    assert last == "1 passed, 0 failed, 0 skipped"


def test_a_wrong_weight_fails_and_the_report_says_where(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error inside the speech attention is traced to the speech attention."""
    path = folder / "dit_a.weights.safetensors"
    weights = load_file(path)
    weights["blocks.0.audio_cross_attn.proj.weight"] *= 1.5
    save_file(weights, path)
    assert main([str(folder)]) == 1
    out = capsys.readouterr().out
    assert "FAILED: out.pred; the error begins at mid.block0_audio_cross_attn" in out
    assert out.endswith("0 passed, 1 failed, 0 skipped\n")


def test_a_case_that_cannot_be_computed_fails_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A weight that is missing is told on the case's own line."""
    path = folder / "dit_a.weights.safetensors"
    weights = load_file(path)
    del weights["blocks.0.norm_x.bias"]
    save_file(weights, path)
    assert main([str(folder)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(CASE)
    assert "FAILED: RuntimeError: Error(s) in loading state_dict" in out


def test_a_kind_of_case_that_is_not_known_is_skipped_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder from the future still runs."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["entries"]["future/one"] = {"kind": "z"}
    path.write_text(json.dumps(manifest))
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "future/one" in out
    assert out.endswith("1 passed, 0 failed, 1 skipped\n")


def test_a_folder_without_a_manifest_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which file it looked for."""
    assert main([str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_nan_another_shape_and_nothing_at_all_are_failures() -> None:
    """Nothing passes by not being comparable."""
    record = torch.randn(4)
    nan = close("a", torch.full((4,), math.nan), record, tolerance=1.0)
    shape = close("b", torch.randn(5), record, tolerance=1.0)
    assert not nan.passed
    assert not shape.passed
    assert not equal("c", torch.ones(3), torch.ones(4)).passed
    verdicts = [Verdict(name="x", checks=(nan,)), Verdict(name="y")]
    assert summary(verdicts) == "0 passed, 2 failed, 0 skipped"
    assert "nothing was compared" in verdicts[1].line()


def test_inner_checks_alone_pass_nothing() -> None:
    """Intermediates only tell where an error begins."""
    inner = Check(what="mid", error=0.0, tolerance=1.0, inner=True)
    assert not Verdict(name="x", checks=(inner,)).passed
