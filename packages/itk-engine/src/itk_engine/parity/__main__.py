"""`python -m itk_engine.parity DIR`: one line a case, and how many passed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from itk_engine.errors import EngineError

from . import count, read_cases, run_case, summary
from .bench import Bench


def main(arguments: list[str] | None = None) -> int:
    """Run the cases of a folder; 0 if none failed."""
    said = _parser().parse_args(arguments)
    bench = Bench.on(said.device, said.dtype)
    try:
        cases = [case for case in read_cases(said.folder) if said.only in case.name]
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    verdicts = []
    for case in cases:
        verdict = run_case(case, bench)
        sys.stdout.write(verdict.line() + "\n")
        sys.stdout.flush()
        verdicts.append(verdict)
    sys.stdout.write(summary(verdicts) + "\n")
    return 1 if count(verdicts)[1] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m itk_engine.parity",
        description="Compare the engine with recorded outputs of another implementation.",
    )
    parser.add_argument("folder", type=Path, help="folder with manifest.json and its files")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    return parser


if __name__ == "__main__":
    sys.exit(main())
