"""Runs the measurements: `python -m benchmarks --out benchmarks/results/NAME`."""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import traceback
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import cases, pair, report
from benchmarks.budgets import Row, within_budgets
from benchmarks.cases import BF16, Bench, Facts
from benchmarks.loading import loading

if TYPE_CHECKING:
    from collections.abc import Callable

CASES: dict[str, Callable[[Bench], Facts]] = {
    "fused kernels against plain functions": cases.kernels,
    "forward 480, one speaker": partial(cases.forward, size="480", speakers=1),
    "block parts 480, one speaker": partial(cases.block_parts, size="480", speakers=1),
    "forward 480, two speakers": partial(cases.forward, size="480", speakers=2),
    "block parts 480, two speakers": partial(cases.block_parts, size="480", speakers=2),
    "autoencoder 480 bfloat16": partial(cases.autoencoder, size="480", dtype=BF16),
    "autoencoder 480 float32": partial(cases.autoencoder, size="480", dtype=torch.float32),
    "chunk 480, 4 steps, one branch": partial(cases.chunk, size="480"),
    "forward 720, one speaker": partial(cases.forward, size="720", speakers=1),
    "forward 720, two speakers": partial(cases.forward, size="720", speakers=2),
    "autoencoder 720 bfloat16": partial(cases.autoencoder, size="720", dtype=BF16),
    "autoencoder 720 float32": partial(cases.autoencoder, size="720", dtype=torch.float32),
    "forward 480, one speaker, cuDNN attention": partial(
        cases.forward, size="480", speakers=1, attention="sdpa"
    ),
    "forward 480, two speakers, cuDNN attention": partial(
        cases.forward, size="480", speakers=2, attention="sdpa"
    ),
    "forward 720, one speaker, cuDNN attention": partial(
        cases.forward, size="720", speakers=1, attention="sdpa"
    ),
    "loading": loading,
    "fp8": cases.fp8,
    "within budgets": partial(
        within_budgets,
        rows=(
            Row("480", 80),
            Row("480", 48),
            Row("480", 32),
            Row("480", 24),
            Row("720", 80),
            Row("720", 48),
            Row("720", 22),
            Row("480", 48, offload_model=True),
        ),
    ),
    "within budgets, fp8 when needed": partial(
        within_budgets, rows=(Row("480", 48), Row("480", 32), Row("480", 24)), fp8="when_needed"
    ),
    "within budgets, int8 files": partial(
        within_budgets, rows=(Row("480", 80), Row("480", 24), Row("480", 16)), int8=True
    ),
    "two devices, engines": pair.engines,
    "two devices, 480": partial(pair.steps, size="480"),
    "two devices, 720": partial(pair.steps, size="720"),
}


def main() -> None:
    """Run all measurements, or those named by --only, within a time."""
    options = _options()
    device = torch.device("cuda" if torch.cuda.is_available() and not options.tiny else "cpu")
    bench = Bench(device=device, tiny=options.tiny, runs=options.runs)
    facts: dict[str, Any] = {"about": _about(device, options.commit, tiny=options.tiny)}
    facts["results"] = {}
    begin = perf_counter()
    for name in options.only or CASES:
        if perf_counter() - begin > options.seconds:
            facts["results"][name] = {"skipped": "no time was left"}
            continue
        started = perf_counter()
        try:
            facts["results"][name] = CASES[name](bench)
        except Exception as error:  # noqa: BLE001  one failure must not lose the others
            traceback.print_exc()
            facts["results"][name] = {"failed": f"{type(error).__name__}: {error}"[:500]}
            bench.forget()
        print(f"{perf_counter() - begin:6.1f} s  {name} ({perf_counter() - started:.1f} s)",
              facts["results"][name], flush=True)  # fmt: skip
        report.write(facts, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/latest"))
    parser.add_argument(
        "--only", nargs="*", choices=CASES, default=[], metavar="NAME", help="run these, in order"
    )
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each, where it matters")
    parser.add_argument("--seconds", type=float, default=3600, help="start nothing after these")
    parser.add_argument("--commit", default=None, help="what is measured; asked of git if absent")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on the CPU: a rehearsal")
    return parser.parse_args()


def _about(device: torch.device, commit: str | None, *, tiny: bool) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "commit": commit or _commit(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "tiny": tiny,
    }


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
