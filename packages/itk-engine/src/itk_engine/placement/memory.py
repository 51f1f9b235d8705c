"""Reads how much memory there is, pins host memory and gives device memory back."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

_HOST_SHARE = 0.8  # of what is free: pinned pages cannot be swapped, so some must be left


def device_budget_bytes(device: torch.device) -> int:
    """Bytes of the device that this process may use: its own and what nobody uses."""
    if device.type != "cuda":
        return host_budget_bytes()
    free, _total = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)


def host_budget_bytes() -> int:
    """Bytes of host memory that may be pinned: a share of what is available.

    A container's limit counts where it is lower than the machine's.
    """
    available = _available_on_the_machine()
    limit = _left_in_the_container()
    return int(_HOST_SHARE * (available if limit is None else min(available, limit)))


def free_device_memory(device: torch.device) -> None:
    """Give cached blocks back to the driver; costs a synchronisation, so never in a loop."""
    if device.type == "cuda":
        gc.collect()
        with torch.cuda.device(device):
            torch.cuda.empty_cache()


def peak_bytes(device: torch.device) -> int:
    """The most that tensors have taken on the device since `reset_peak`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement of the peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def host_bytes(size: int, *, pinned: bool) -> Tensor:
    """Return `size` bytes of host memory, page-locked where asked.

    The pages are locked in place: PyTorch's own pinned allocator rounds a request up to a
    power of two, which for blocks of a large model wastes up to half of the memory.
    """
    memory = torch.empty(size, dtype=torch.uint8)
    if pinned and size:
        runtime: Any = torch.cuda.cudart()
        address = memory.data_ptr()
        torch.cuda.check_error(runtime.cudaHostRegister(address, size, 0))
        weakref.finalize(memory.untyped_storage(), _unregister, address)
    return memory


def _unregister(address: int) -> None:
    runtime: Any = torch.cuda.cudart()
    runtime.cudaHostUnregister(address)


def _available_on_the_machine() -> int:
    fields = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    for line in fields:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _left_in_the_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - int(used))
