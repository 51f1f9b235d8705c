"""Decides, before a chunk is sampled, which steps may reuse the last one's work.

TeaCache (Liu et al. 2024): where the time signal moves little from one step to the next, the
blocks would add nearly what they added before, so their last sum is added again. The signal
depends on the timesteps alone, so the whole schedule is known before the loop begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from itk_engine.model import TimeSignal

Size = Literal["infinitetalk-480", "infinitetalk-720"]

# Polynomials, highest power first, fitted by TeaCache's authors for Wan2.1: the relative
# change of the time signal to the expected relative change of the model's output.
_MODULATION_POLYNOMIALS: dict[str, tuple[float, ...]] = {
    "infinitetalk-480": (
        2.57151496e5,
        -3.54229917e4,
        1.40286849e3,
        -1.35890334e1,
        1.32517977e-1,
    ),
    "infinitetalk-720": (
        8.10705460e3,
        2.13393892e3,
        -3.72934672e2,
        1.66203073e1,
        -4.17769401e-2,
    ),
}
_EMBEDDING_POLYNOMIALS: dict[str, tuple[float, ...]] = {
    "infinitetalk-480": (
        -3.02331670e2,
        2.23948934e2,
        -5.25463970e1,
        5.87348440,
        -2.01973289e-1,
    ),
    "infinitetalk-720": (
        -114.36346466,
        65.26524496,
        -18.82220707,
        4.91518089,
        -0.23412683,
    ),
}
_REFERENCE_SLOTS = 3


@frozen(kw_only=True)
class TeaCache:
    """How eagerly steps are skipped.

    `signal` "modulation" watches the projected time signal and always computes the first
    five steps; "embedding" watches the plain one and always computes the first and last.
    """

    threshold: float
    size: Size
    signal: Literal["modulation", "embedding"] = "modulation"


@frozen(kw_only=True)
class Decision:
    """Whether a call computes the blocks, whose last work it may reuse, and the distance."""

    slot: int
    compute: bool
    accumulated: float


@frozen(kw_only=True)
class SkipPlan:
    """The decisions of one chunk: `decisions[step][branch]`, branches by position."""

    decisions: tuple[tuple[Decision, ...], ...] = field(repr=False)

    @property
    def skipped(self) -> int:
        """Return how many predictions of the chunk run no block."""
        return sum(not decision.compute for step in self.decisions for decision in step)

    @property
    def calls(self) -> int:
        """Return how many predictions the chunk makes."""
        return sum(len(step) for step in self.decisions)


def plan_skips(cache: TeaCache, time: TimeSignal, *, branches: int) -> SkipPlan:
    """Plan one chunk: every branch has its own slot, and every chunk begins afresh.

    `time` holds all timesteps of the chunk. All branches decide alike, because the signal is
    the same for all of them.
    """
    change = _ExpectedChange(cache, time)
    steps = len(time.embedding)
    warm_up, cutoff = _bounds(cache, steps)
    accumulated = 0.0
    decisions: list[tuple[Decision, ...]] = []
    for step in range(steps):
        compute = step < warm_up or step >= cutoff
        if not compute:
            accumulated += change(step - 1, step)
            compute = accumulated >= cache.threshold
        accumulated = 0.0 if compute else accumulated
        decisions.append(
            tuple(
                Decision(slot=slot, compute=compute, accumulated=accumulated)
                for slot in range(branches)
            )
        )
    return SkipPlan(decisions=tuple(decisions))


def plan_reference_skips(
    cache: TeaCache, time: TimeSignal, *, branches: int, chunks: int
) -> tuple[SkipPlan, ...]:
    """Plan all chunks as the reference implementation does, for comparison with its outputs.

    It counts calls modulo three whatever the number of branches, and its counter runs on from
    chunk to chunk until it has seen 3·steps calls. With two branches the slots therefore
    rotate between branches, and a chunk may begin in the middle.
    """
    change = _ExpectedChange(cache, time)
    steps = len(time.embedding)
    warm_up, cutoff = (_REFERENCE_SLOTS * bound for bound in _bounds(cache, steps))
    last_step: list[int | None] = [None] * _REFERENCE_SLOTS
    accumulated = [0.0] * _REFERENCE_SLOTS
    decisions: list[Decision] = []
    for call in range(chunks * steps * branches):
        count = call % (_REFERENCE_SLOTS * steps)
        slot, step = count % _REFERENCE_SLOTS, call // branches % steps
        before = last_step[slot]
        compute = count < warm_up or count >= cutoff or before is None
        if not compute and before is not None:
            accumulated[slot] += change(before, step)
            compute = accumulated[slot] >= cache.threshold
        if compute:
            accumulated[slot] = 0.0
        last_step[slot] = step
        decisions.append(Decision(slot=slot, compute=compute, accumulated=accumulated[slot]))
    by_step = [tuple(decisions[i : i + branches]) for i in range(0, len(decisions), branches)]
    return tuple(
        SkipPlan(decisions=tuple(by_step[i : i + steps])) for i in range(0, len(by_step), steps)
    )


class _ExpectedChange:
    """How much the output should change between two steps, by the signals on the host."""

    def __init__(self, cache: TeaCache, time: TimeSignal) -> None:
        modulation = cache.signal == "modulation"
        self._signal = (time.modulation if modulation else time.embedding).cpu()
        table = _MODULATION_POLYNOMIALS if modulation else _EMBEDDING_POLYNOMIALS
        self._coefficients = table[cache.size]

    def __call__(self, before: int, now: int) -> float:
        moved = (self._signal[now] - self._signal[before]).abs().mean()
        ratio = (moved / self._signal[before].abs().mean()).item()
        value = 0.0
        for coefficient in self._coefficients:
            value = value * ratio + coefficient
        return value


def _bounds(cache: TeaCache, steps: int) -> tuple[int, int]:
    """Return before which step and from which step on everything is computed."""
    return (5, steps) if cache.signal == "modulation" else (1, steps - 1)
