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
from itk_engine.weights import fill, read_entries

if TYPE_CHECKING:
    from benchmarks.cases import Bench

_PIECE_BYTES = 16 * 2**20


def loading(bench: Bench) -> dict[str, Any]:
    """Write some blocks to a file, read it plainly, then read it into a model on the device.

    The page cache is told to forget the file before each reading; on storage that ignores this
    both numbers are those of memory.
    """
    config = subjects.without_blocks(bench.config, keep=2 if bench.tiny else 8)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        file = Path(folder) / "model.safetensors"
        source = subjects.random_transformer(config, bench.device, torch.bfloat16)
        save_file({name: value.cpu() for name, value in source.state_dict().items()}, file)
        del source
        size = file.stat().st_size
        _forget(file)
        plain = _read_plainly(file)
        _forget(file)
        begin = perf_counter()
        with torch.device("meta"):
            model = DiT(config)
        entries = read_entries(file, what="benchmark")
        fill(
            model,
            entries,
            device=bench.device,
            dtype=torch.bfloat16,
            home=lambda _: file,
        )
        if bench.device.type == "cuda":
            torch.cuda.synchronize(bench.device)
        loaded = perf_counter() - begin
    return {
        "gib": round(size / GIB, 2),
        "plain_gib_per_second": round(size / GIB / plain, 2),
        "loaded_gib_per_second": round(size / GIB / loaded, 2),
        "share_of_plain": round(plain / loaded, 2),
    }


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
