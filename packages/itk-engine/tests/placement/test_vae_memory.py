"""The autoencoder holds no more than the planner allows for, counted at its real sizes."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from itk_engine.placement import Picture
from itk_engine.placement.sizes import vae_bytes
from itk_engine.vae import VAE

if TYPE_CHECKING:
    from collections.abc import Callable

WORKS: dict[str, Callable[[VAE, int], object]] = {
    "decode": lambda vae, side: vae.decode(empty(16, 21, side // 8, side // 8)),
    "encode": lambda vae, side: vae.encode(empty(3, 81, side, side)),
    "encode_still": lambda vae, side: vae.encode_still(empty(3, 1, side, side), 81),
}


class Counted(TorchDispatchMode):
    """Counts the bytes of tensors that are alive at once, on a device that has no memory."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, int] = {}
        self._now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._alive:
            self._alive[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._now -= self._alive.pop(key)


def empty(*shape: int) -> torch.Tensor:
    """Return a tensor without memory."""
    return torch.empty(shape, device="meta")


@pytest.mark.parametrize("side", [640, 960])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("work", list(WORKS))
def test_the_plan_covers_what_the_layers_hold(work: str, dtype: torch.dtype, side: int) -> None:
    """Every way through the autoencoder stays below the estimate, and a decode comes near it."""
    with torch.device("meta"):
        vae = VAE().to(dtype).requires_grad_(requires_grad=False)
    with torch.inference_mode(), Counted() as counted:
        WORKS[work](vae, side)
    planned = vae_bytes(Picture(height=side, width=side), bytes_per_value=dtype.itemsize)
    assert counted.peak <= 0.98 * planned
    if (work, dtype) == ("decode", torch.float32):
        assert counted.peak > 0.9 * planned
