"""Makes a chunk within capped memory, all models in the places that the planner gives them."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from attrs import define, evolve, field, frozen

from benchmarks.measure import GIB
from benchmarks.whole import random_models, random_request
from itk_engine.pipeline import Conditioned, Finished, Parts, Stepped, generate
from itk_engine.placement import Home, device_budget_bytes, free_device_memory
from itk_engine.preparation import needs, prepare
from itk_engine.sampling import SeededNoise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cases import Bench
    from itk_engine.placement.planner import Fp8
    from itk_engine.weights import Models

Facts = dict[str, Any]
STEPS = {"480": 2, "720": 1}
TINY_BUDGET_GIB = 8  # more than tiny models need, so streaming is forced


@frozen
class Row:
    """One measurement: a size within a budget, and whether `offload_model` is asked for."""

    size: str
    budget_gib: int
    offload_model: bool | None = None

    def __str__(self) -> str:
        return f"{self.size} within {self.budget_gib} GiB" + ", offloaded" * bool(
            self.offload_model
        )


def within_budgets(
    bench: Bench, rows: tuple[Row, ...], *, fp8: Fp8 = "never", int8: bool = False
) -> Facts:
    """Prepare, sample and decode one chunk within each budget, the largest of a size first.

    The allocator refuses what goes beyond the budget; what the driver takes beside it is the
    planner's to allow for. Every video must equal the first one of its size, unless weights
    became fp8 between them. A budget that fails does not keep the others from being tried.
    """
    bench.forget()
    models = random_models(bench, int8=int8)
    home = Home(models, bench.device, fp8=fp8)
    facts: Facts = {}
    first: dict[str, torch.Tensor] = {}
    for row in rows:
        watch = _Watch(device=bench.device)
        fact = facts[str(row)] = {}
        try:
            video = _one_chunk(bench, home, models, row=row, watch=watch)
        except Exception as error:  # noqa: BLE001  the other budgets are still to be tried
            traceback.clear_frames(error.__traceback__)
            fact["failed"] = f"{type(error).__name__}: {error}"[:900]
        else:
            wanted = first.setdefault(row.size, video)
            fact["difference_to_first"] = float((video - wanted).abs().max())
        fact |= {"plan": str(home.plan), "phases": watch.phases}
        fact |= _planned(home)
        print(f"  {row}: {fact}", flush=True)
        free_device_memory(bench.device)
    home.close()
    return facts


@torch.inference_mode()
def _one_chunk(
    bench: Bench, home: Home, models: Models, *, row: Row, watch: _Watch
) -> torch.Tensor:
    request = random_request(bench, row.size, steps=STEPS[row.size])
    limit = (TINY_BUDGET_GIB if bench.tiny else row.budget_gib) * GIB
    budget = min(limit, device_budget_bytes(bench.device))
    home.allow(budget)
    demand, wishes = needs(request, bucket_scale=models.bucket_scale)
    wishes = evolve(wishes, offload_model=row.offload_model)
    if bench.tiny and row.budget_gib < 48:
        wishes = evolve(wishes, persistent_parameters=0)
    home.arrange(demand, wishes)
    watch.passed("arranging")
    with capped(bench.device, budget):
        with home.reading():
            prepared = prepare(models, request)
        watch.passed("preparing")
        parts = Parts(dit=models.dit, vae=models.vae, see=home.see)
        video = torch.empty(0)
        for event in generate(parts, prepared.scene, SeededNoise(7, bench.device)):
            if isinstance(event, Conditioned):
                watch.passed("encoding the picture")
            elif isinstance(event, Stepped) and event.step == event.steps:
                watch.passed("sampling")
                home.rest()
            elif isinstance(event, Finished):
                watch.passed("decoding")
                video = event.video.cpu()
    return video


def _planned(home: Home) -> Facts:
    plan = home.plan
    if plan is None:
        return {}
    return {
        "resident_blocks": plan.resident_blocks,
        "planned_gib": {
            "text": round(plan.text_peak_bytes / GIB, 2),
            "sampling": round(plan.sampling_peak_bytes / GIB, 2),
            "autoencoder": round(plan.vae_peak_bytes / GIB, 2),
        },
    }


@define
class _Watch:
    """Notes for every phase its seconds and the peaks of what was asked for and held, in GiB."""

    device: torch.device
    phases: dict[str, Facts] = field(factory=dict)
    _since: float = field(factory=perf_counter)

    def __attrs_post_init__(self) -> None:
        self._begin()

    def passed(self, phase: str) -> None:
        """End a phase."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(self.device)
        self.phases[phase] = {"took": round(perf_counter() - self._since, 2)}
        if on_gpu:
            asked = torch.cuda.max_memory_allocated(self.device)
            held = torch.cuda.max_memory_reserved(self.device)
            self.phases[phase] |= {
                "peak_gib": round(asked / GIB, 2),
                "reserved_gib": round(held / GIB, 2),
            }
        self._begin()

    def _begin(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._since = perf_counter()


@contextmanager
def capped(device: torch.device, budget_bytes: int) -> Iterator[None]:
    """Let the allocator refuse what goes beyond a budget."""
    if device.type != "cuda":
        yield
        return
    index = torch.cuda.current_device() if device.index is None else device.index
    total = torch.cuda.get_device_properties(index).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, budget_bytes / total), index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
