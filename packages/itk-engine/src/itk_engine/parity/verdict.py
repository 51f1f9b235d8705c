"""Compares what the engine gives with what was recorded, and says how far apart they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


@frozen(kw_only=True)
class Check:
    """One compared thing: how far it is from the record, and how far it may be.

    `error` is the largest difference over the record's standard deviation; things that must
    be equal have a tolerance of 0. `inner` things only tell where an error begins.
    """

    what: str
    error: float
    tolerance: float
    inner: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN never is."""
        return self.error <= self.tolerance


@frozen(kw_only=True)
class Verdict:
    """What became of one case."""

    name: str
    checks: tuple[Check, ...] = ()
    skipped: str | None = None
    broke: str | None = None  # why it could not be computed at all

    @property
    def passed(self) -> bool:
        """Whether every output is within its tolerance, and there was one."""
        outputs = [check for check in self.checks if not check.inner]
        return bool(outputs) and all(check.passed for check in outputs)

    @property
    def worst(self) -> Check:
        """Return the output that comes nearest to its tolerance, or exceeds it most."""
        return max((check for check in self.checks if not check.inner), key=_strain)

    def line(self) -> str:
        """Return name, largest error, tolerance and verdict on one line."""
        if self.skipped is not None:
            return f"{self.name:34} {'-':>9} {'-':>9}  skipped: {self.skipped}"
        if self.broke is not None:
            return f"{self.name:34} {'-':>9} {'-':>9}  FAILED: {self.broke}"
        if not any(not check.inner for check in self.checks):
            return f"{self.name:34} {'-':>9} {'-':>9}  FAILED: nothing was compared"
        worst = self.worst
        numbers = f"{self.name:34} {worst.error:9.2e} {worst.tolerance:9.2e}"
        return f"{numbers}  passed" if self.passed else f"{numbers}  FAILED: {self._blame()}"

    def _blame(self) -> str:
        wrong = [check for check in self.checks if not check.passed]
        first, worst = wrong[0], self.worst
        begins = "" if first is worst else f"; the error begins at {first.what} ({first.error:.2e})"
        return f"{worst.what}{begins}"


def close(
    what: str, came: Tensor, record: Tensor, *, tolerance: float, inner: bool = False
) -> Check:
    """Compare numbers: the largest difference over the record's standard deviation."""
    return Check(what=what, error=_distance(came, record), tolerance=tolerance, inner=inner)


def equal(what: str, came: Any, record: Any, *, inner: bool = False) -> Check:
    """Compare things that must be the same; the error is the share of entries that are not."""
    if isinstance(came, torch.Tensor):
        same = came.shape == record.shape
        error = (came.cpu() != record).double().mean().item() if same else math.inf
    else:
        error = 0.0 if came == record else 1.0
    return Check(what=what, error=error, tolerance=0.0, inner=inner)


def summary(verdicts: Iterable[Verdict]) -> str:
    """Return the last line: how many cases passed, failed and were skipped."""
    passed, failed, skipped = count(verdicts)
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def count(verdicts: Iterable[Verdict]) -> tuple[int, int, int]:
    """Return how many cases passed, failed and were skipped."""
    results = [
        "skipped" if verdict.skipped is not None else "passed" if verdict.passed else "failed"
        for verdict in verdicts
    ]
    return results.count("passed"), results.count("failed"), results.count("skipped")


def _distance(came: Tensor, record: Tensor) -> float:
    if came.shape != record.shape:
        return math.inf
    came, record = came.detach().cpu().double(), record.double()
    if not torch.isfinite(came).all():
        return math.nan
    spread = record.std(correction=0).item() if record.numel() > 1 else 0.0
    scale = spread or record.abs().max().item() or 1.0
    return (came - record).abs().max().item() / scale


def _strain(check: Check) -> float:
    if math.isnan(check.error):
        return math.inf
    return check.error / check.tolerance if check.tolerance else check.error * 1e9
