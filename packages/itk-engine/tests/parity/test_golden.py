"""The recorded cases of the reference implementation, one test a case."""

import os
from pathlib import Path

import pytest
import torch

from itk_engine.parity import Case, read_cases, run_case
from itk_engine.parity.bench import Bench

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = read_cases(GOLDEN)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_engine_gives_what_the_reference_gave(case: Case) -> None:
    """Every output is within its tolerance in float32 on the CPU, and nothing is skipped."""
    verdict = run_case(case, Bench.on("cpu", "float32"))
    assert verdict.passed, verdict.line()


@pytest.mark.parametrize(
    "name", ["dit/one_square", "dit/one_wide", "vae/p", "t5/short", "clip/visual", "quant/fp8"]
)
def test_in_bfloat16_single_models_stay_near(name: str) -> None:
    """What runs in bfloat16 on a GPU is within the stated, much wider, tolerances."""
    case = next(case for case in CASES if case.name == name)
    verdict = run_case(case, Bench.on("cpu", "bfloat16"))
    assert verdict.passed, verdict.line()


def test_cases_that_hinge_on_close_comparisons_are_float32_only() -> None:
    """In bfloat16 two speakers, skipped steps and whole generations are skipped by name."""
    skipped = {c.name for c in CASES if isinstance(Bench.on("cpu", "bfloat16").for_case(c), str)}
    assert "dit/two_default" in skipped
    assert "teacache/two_pass_480" in skipped
    assert "pipeline/clip_three_pass" in skipped


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_gpu_gives_the_same(case: Case, dtype: str) -> None:
    """On CUDA every case passes in float32, and the single models in bfloat16."""
    if not torch.cuda.is_available():
        assert os.environ.get("ITK_EXPECT_GPU") != "1", "a GPU was promised"
        pytest.skip("no CUDA device")
    verdict = run_case(case, Bench.on("cuda", dtype))
    if verdict.skipped is not None and dtype == "bfloat16":
        pytest.skip(verdict.skipped)
    assert verdict.passed, verdict.line()


def test_no_case_is_missing() -> None:
    """All 26 recorded cases are in the repository."""
    assert len(CASES) == 26
