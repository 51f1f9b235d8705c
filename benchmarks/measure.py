"""Times work on a device and reads what it took of its memory."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1024**3


@frozen(kw_only=True)
class Measurement:
    """The median of some runs in seconds, all of them, and the peak of allocated memory."""

    seconds: float
    runs: tuple[float, ...]
    peak_gib: float

    def plain(self) -> dict[str, Any]:
        """Return numbers that JSON can hold."""
        return {
            "seconds": round(self.seconds, 4),
            "runs": [round(run, 4) for run in self.runs],
            "peak_gib": round(self.peak_gib, 2),
        }


def measure(
    work: Callable[[], object], *, device: torch.device, runs: int = 3, warm_up: bool = True
) -> Measurement:
    """Run once to warm up, then time each of `runs` further runs to its end on the device."""
    if warm_up:
        work()
    _wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    taken = []
    for _ in range(runs):
        begin = perf_counter()
        work()
        _wait(device)
        taken.append(perf_counter() - begin)
    peak = torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else 0.0
    return Measurement(seconds=statistics.median(taken), runs=tuple(taken), peak_gib=peak)


def time_modules(
    modules: dict[str, torch.nn.Module], work: Callable[[], object], *, device: torch.device
) -> dict[str, float]:
    """Return the milliseconds that each named module takes during `work`, inner ones included."""
    if device.type != "cuda":
        return {}
    marks: dict[str, list[tuple[torch.cuda.Event, torch.cuda.Event]]] = {n: [] for n in modules}
    hooks = []
    for name, module in modules.items():

        def before(_module: object, _inputs: object, *, name: str = name) -> None:
            begin = torch.cuda.Event(enable_timing=True)
            begin.record()
            marks[name].append((begin, torch.cuda.Event(enable_timing=True)))

        def after(_module: object, _inputs: object, _out: object, *, name: str = name) -> None:
            marks[name][-1][1].record()

        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    work()
    _wait(device)
    for hook in hooks:
        hook.remove()
    return {
        name: round(statistics.median(a.elapsed_time(b) for a, b in pairs), 3)
        for name, pairs in marks.items()
        if pairs
    }


def busiest_kernels(
    work: Callable[[], object], *, device: torch.device, count: int = 14
) -> list[tuple[str, float, int]]:
    """Return the kernels that take the most time in `work`: name, milliseconds, calls."""
    if device.type != "cuda":
        return []
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        work()
        _wait(device)
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_device_time_total)
    return [
        (event.key[:90], round(event.self_device_time_total / 1000, 2), event.count)
        for event in events[:count]
    ]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
