"""Lets two devices share one video, and compares with what one of them makes alone."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import subjects
from benchmarks.measure import measure
from itk_engine import Engine, EngineConfig, GenerationRequest, StillPicture
from itk_engine.placement import free_device_memory
from itk_engine.placement.parallel import start_team
from itk_engine.sampling import Branch, Predictor
from itk_engine.tiny import make_checkpoint
from itk_media import Waveform
from itk_schema import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.cases import Bench
    from itk_engine.model import Conditions, DiT

Facts = dict[str, Any]
Velocities = dict[Branch, torch.Tensor]
PROCESSES = 2


def engines(bench: Bench) -> Facts:
    """Make a tiny video with one device and with two, in float32 and in the default dtype.

    The engine of two is told nothing but where the checkpoint lies.
    """
    if _lacks_devices(bench):
        return {"skipped": "needs two CUDA devices"}
    on_gpu = bench.device.type == "cuda"
    facts: Facts = {}
    with tempfile.TemporaryDirectory() as folder:
        files = make_checkpoint(Path(folder))
        for dtype in ("float32", "auto"):
            one = EngineConfig(device="cuda:0" if on_gpu else "cpu", dtype=dtype)
            two = EngineConfig(dtype=dtype, processes=None if on_gpu else PROCESSES)
            frames = {}
            for name, config in (("one", one), ("two", two)):
                begin = perf_counter()
                with Engine.load(files, config) as engine:
                    loaded = perf_counter()
                    shown = [chunk.frames for chunk in engine.generate(_tiny_request())]
                    frames[name] = np.concatenate(shown).astype(int)
                    facts[f"{dtype}, {name}"] = {
                        "devices": engine.gpu.count if on_gpu else config.processes,
                        "loading": round(loaded - begin, 2),
                        "generating": round(perf_counter() - loaded, 2),
                    }
            apart = np.abs(frames["one"] - frames["two"])
            facts[f"{dtype}, difference of 255"] = {
                "most": int(apart.max()),
                "mean": float(apart.mean()),
            }
    return facts


def steps(bench: Bench, size: str) -> Facts:
    """Predict a step of one branch and of two with one device, then with two."""
    if _lacks_devices(bench):
        return {"skipped": "needs two CUDA devices"}
    devices = [f"cuda:{rank}" for rank in range(PROCESSES)]
    if bench.device.type == "cpu":
        devices = ["cpu"] * PROCESSES
    dit = build(devices[0], tiny=bench.tiny)
    cases = _cases(dit, bench.bucket(size))
    facts: Facts = {}
    with torch.inference_mode():
        time = dit.embed_time(torch.tensor([900.0], device=bench.device))
        latent = subjects.random_latent(dit, bench.bucket(size))
        alone: dict[str, Velocities] = {}
        for name, conditions in cases.items():
            predict = Predictor(dit, time=time, conditions=conditions)
            fact, alone[name] = _timed(bench, partial(predict, 0, latent))
            _note(facts, f"{name}, one device", fact)
        begin = perf_counter()
        with start_team(dit, build, bench.tiny, devices=devices) as team:
            _note(facts, "starting the team", {"took": round(perf_counter() - begin, 2)})
            if bench.tiny:
                team.link_bytes_per_second = 1e18  # else nobody would share so few tokens
            for name, conditions in cases.items():
                together = team.predictor(dit, time=time, conditions=conditions)
                fact, came = _timed(bench, partial(together, 0, latent.clone()))
                fact["relative_error"] = max(
                    float((came[key] - needed).norm() / needed.norm())
                    for key, needed in alone[name].items()
                )
                fact["groups"], fact["each"] = together.split.groups, together.split.size
                before = facts[f"{name}, one device"]["seconds"]
                fact["times_faster"] = round(before / fact["seconds"], 2)
                _note(facts, f"{name}, two devices", fact)
    return facts


def build(device: str, tiny: bool) -> DiT:  # noqa: FBT001  travels to the other process by place
    """Build the same transformer in every process."""
    place = torch.device(device)
    free_device_memory(place)
    torch.manual_seed(0)
    dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
    config = subjects.TINY if tiny else subjects.DiTConfig()
    return subjects.random_transformer(config, place, dtype)


def _cases(dit: DiT, bucket: subjects.Bucket) -> dict[str, dict[Branch, Conditions]]:
    torch.manual_seed(1)
    one, other = (subjects.random_conditions(dit, bucket, speakers=1) for _ in range(2))
    cases = {"1 branch": {Branch.COND: one}}
    if bucket.name == "480":
        two = subjects.random_conditions(dit, bucket, speakers=2)
        cases["2 branches"] = {Branch.COND: one, Branch.DROP_AUDIO: other}
        cases["1 branch, two speakers"] = {Branch.COND: two}
    return cases


def _timed(bench: Bench, work: Callable[[], Velocities]) -> tuple[Facts, Velocities]:
    """Run once to warm up and for the result, then once for the time."""
    result = work()
    return measure(work, device=bench.device, runs=1, warm_up=False).plain(), result


def _note(facts: Facts, name: str, fact: Facts) -> None:
    facts[name] = fact
    print(f"  {name}: {fact}", flush=True)


def _lacks_devices(bench: Bench) -> bool:
    return bench.device.type == "cuda" and torch.cuda.device_count() < PROCESSES


def _tiny_request() -> GenerationRequest:
    random = np.random.default_rng(5)
    samples = random.normal(0, 0.1, 12_800).astype(np.float32)
    return GenerationRequest(
        prompt="a person speaks",
        picture=StillPicture(pixels=random.integers(0, 255, (70, 60, 3), dtype=np.uint8)),
        speeches=(Waveform(samples=samples, sample_rate=16_000),),
        parameters=Parameters(mode="streaming", frame_num=13, motion_frame=5, sample_steps=2),
        seed=7,
    )
