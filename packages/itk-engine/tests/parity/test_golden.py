"""The recorded cases of the reference implementation, one test a case."""

from pathlib import Path

import pytest

from itk_engine.parity import Case, read_cases, run_case
from itk_engine.parity.bench import Bench

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = read_cases(GOLDEN)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_engine_gives_what_the_reference_gave(case: Case) -> None:
    """Every output is within its tolerance in float32 on the CPU, and nothing is skipped."""
    verdict = run_case(case, Bench.on("cpu", "float32"))
    assert verdict.passed, verdict.line()


def test_no_case_is_missing() -> None:
    """All 26 recorded cases are in the repository."""
    assert len(CASES) == 26
