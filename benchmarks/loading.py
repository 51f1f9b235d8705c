"""Measures how fast weights come from storage onto the device, against plain reading."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from benchmarks import subjects
from benchmarks.measure import GIB
from itk_engine.model import DiT
from itk_engine.weights import fill, read_entries, without_values

if TYPE_CHECKING:
    from benchmarks.cases import Bench
    from itk_engine.model import DiTConfig

_PIECE_BYTES = 16 * 2**20


def loading(bench: Bench) -> dict[str, Any]:
    """Write some blocks to a file, read it plainly, then read it into a model on the device.

    Once from the storage, where the page cache is told to forget the file before each reading
    (on storage that ignores this both numbers are those of memory), and once from memory.
    """
    config = subjects.without_blocks(bench.config, keep=2 if bench.tiny else 5)
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        file = Path(folder) / "model.safetensors"
        source = subjects.random_transformer(config, bench.device, torch.bfloat16)
        save_file({name: value.cpu() for name, value in source.state_dict().items()}, file)
        del source
        size = file.stat().st_size / GIB
        for place in ("storage", "memory"):
            for turn in range(2):  # caches below this machine's may warm up with the first
                if place == "storage":
                    _forget(file)
                plain = _read_plainly(file)
                if place == "storage":
                    _forget(file)
                loaded = _load(file, config, bench.device)
                facts[f"from {place}, {turn + 1}"] = {
                    "gib": round(size, 2),
                    "plain_gib_per_second": round(size / plain, 2),
                    "loaded_gib_per_second": round(size / loaded, 2),
                    "share_of_plain": round(plain / loaded, 2),
                }
    return facts


def _load(file: Path, config: DiTConfig, device: torch.device) -> float:
    begin = perf_counter()
    with without_values():
        model = DiT(config)
    entries = read_entries(file, what="benchmark")
    fill(model, entries, device=device, dtype=torch.bfloat16, home=lambda _: file)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - begin


def _read_plainly(file: Path) -> float:
    buffer = bytearray(_PIECE_BYTES)
    begin = perf_counter()
    with file.open("rb", buffering=0) as content:
        while content.readinto(buffer):
            pass
    return perf_counter() - begin


def _forget(file: Path) -> None:
    with file.open("rb+") as content:
        os.fsync(content.fileno())
        os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
