"""Runs a stack of blocks whose weights pass through two slots on the device."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from attrs import define, field, frozen
from torch import Tensor

from .memory import free_device_memory, host_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from torch import nn
    from torch.utils.hooks import RemovableHandle

_ALIGNMENT = 256  # what the fastest kernels ask of an address


class BlockStreamer:
    """Keeps some blocks on the device and streams the others, each forward, in order.

    The host holds one page-locked copy of every streamed block. While one block computes, the
    next streamed ones arrive in two device slots on a stream of their own; a block waits for
    its weights and a slot for the block that used it, on the device, never on the host. The
    wrapped blocks are called as before and give the same results. On a CPU the same steps run
    one after the other.

    Weights are only ever read: nothing is copied back.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        device: torch.device,
        *,
        resident: int,
        recallable: bool = False,
        slots: int = 2,
    ) -> None:
        """Let `resident` blocks, evenly spread, live on the device and pack the others.

        With `recallable` the resident blocks keep a copy on the host too, so that `release`
        can empty the device and `recall` fill it again; they come to the device with `recall`
        or with the first forward.
        """
        self._device = device
        self._blocks = list(blocks)
        self._slot_count = slots
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._packed: dict[int, _Packed] = {}
        self._slots: list[_Slot] = []
        self._resident_memory: dict[int, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        stays = spread(resident, len(self._blocks))
        for index, block in enumerate(self._blocks):
            if recallable or index not in stays:
                self._packed[index] = _Packed.of(block, pinned=device.type == "cuda")
                self._watch(index)
            else:
                block.to(device)
        self._order = [index for index in self._packed if index not in stays]
        free_device_memory(device)  # single tensors left; whole blocks come, which do not fit in

    @property
    def streamed(self) -> tuple[int, ...]:
        """The positions of the blocks whose weights are streamed."""
        return tuple(self._order)

    @property
    def host_bytes(self) -> int:
        """Bytes of host memory that the packed blocks take."""
        return sum(packed.memory.numel() for packed in self._packed.values())

    def keep(self, resident: int) -> None:
        """Change how many blocks live on the device, for a generation of another size.

        They come with `recall` or with the first forward; nothing moves for the same number.

        Raises:
            ValueError: not every block has a copy on the host (`recallable`).
        """
        if len(self._packed) < len(self._blocks):
            message = "only a recallable streamer can change how many blocks stay"
            raise ValueError(message)
        stays = spread(resident, len(self._blocks))
        order = [index for index in range(len(self._blocks)) if index not in stays]
        if order != self._order:
            self.release()
            self._order = order

    def recall(self) -> None:
        """Take the device memory that `release` gave back; does nothing if it is held."""
        with torch.inference_mode(mode=False):  # else only inference might write to it again
            self._take_memory()

    def release(self) -> None:
        """Give all device memory of recallable and streamed blocks back to the allocator."""
        if self._copies is not None:
            self._copies.synchronize()
        for packed in self._packed.values():
            packed.bind(packed.memory)
        self._slots = []
        self._resident_memory = {}

    def close(self) -> None:
        """Stop watching the blocks; their weights end on the host."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self.release()

    def _take_memory(self) -> None:
        if not self._slots and self._order:
            size = max(self._packed[index].memory.numel() for index in self._order)
            self._slots = [
                _Slot(memory=torch.empty(size, dtype=torch.uint8, device=self._device))
                for _ in range(min(self._slot_count, len(self._order)))
            ]
        for index in self._packed.keys() - set(self._order) - self._resident_memory.keys():
            packed = self._packed[index]
            self._resident_memory[index] = packed.memory.to(self._device, non_blocking=True)
            packed.bind(self._resident_memory[index])

    def _watch(self, index: int) -> None:
        block = self._blocks[index]

        def before(_block: nn.Module, _inputs: object) -> None:
            self._enter(index)

        def after(_block: nn.Module, _inputs: object, _output: object) -> None:
            self._leave(index)

        self._hooks.append(block.register_forward_pre_hook(before))
        self._hooks.append(block.register_forward_hook(after))

    def _enter(self, index: int) -> None:
        """Let a block's computation wait for its weights, and bind them."""
        self.recall()
        if index in self._resident_memory:
            return
        slot = next((slot for slot in self._slots if slot.holds == index), None)
        if slot is None:
            slot = self._start_afresh(index)
        if slot.ready is not None:
            torch.cuda.current_stream(self._device).wait_event(slot.ready)
        self._packed[index].bind(slot.memory)

    def _leave(self, index: int) -> None:
        """Hand the slot to the block after those that are already under way."""
        if index in self._resident_memory:
            return
        self._packed[index].bind(self._packed[index].memory)
        slot = next(slot for slot in self._slots if slot.holds == index)
        if self._copies is not None:
            slot.free = self._now()
        following = self._after(index, steps=len(self._slots))
        if following != index:  # else there is a slot for every streamed block
            self._fetch(following, slot)

    def _start_afresh(self, index: int) -> _Slot:
        """Fill all slots from this block on, whatever they held (a forward was cut short)."""
        for steps, slot in enumerate(self._slots):
            if self._copies is not None:
                slot.free = self._now()
            self._fetch(self._after(index, steps=steps), slot)
        return self._slots[0]

    def _after(self, index: int, *, steps: int) -> int:
        place = self._order.index(index)
        return self._order[(place + steps) % len(self._order)]

    def _fetch(self, index: int, slot: _Slot) -> None:
        slot.holds = index
        source = self._packed[index].memory
        with self._copying():
            if self._copies is not None and slot.free is not None:
                self._copies.wait_event(slot.free)
            slot.memory[: source.numel()].copy_(source, non_blocking=True)
            if self._copies is not None:
                slot.ready = torch.cuda.Event()
                slot.ready.record(self._copies)

    def _now(self) -> torch.Event:
        """Mark this moment on the stream that computes."""
        moment = torch.cuda.Event()
        moment.record(torch.cuda.current_stream(self._device))
        return moment

    def _copying(self) -> AbstractContextManager[object]:
        return nullcontext() if self._copies is None else torch.cuda.stream(self._copies)


def spread(count: int, total: int) -> frozenset[int]:
    """Choose `count` of `total` positions, evenly spread and never all at one end.

    A streamed block between two resident ones has twice the time to arrive.
    """
    if not 0 <= count <= total:
        message = f"the number of resident blocks must be within 0..{total}, got {count}"
        raise ValueError(message)
    return frozenset((2 * place + 1) * total // (2 * count) for place in range(count))


@define
class _Slot:
    """Device memory for one block, what it holds and when it may be read or overwritten."""

    memory: Tensor
    holds: int | None = None
    ready: torch.Event | None = None
    free: torch.Event | None = None


@frozen(kw_only=True)
class _Piece:
    """Where one tensor of a block lies in its packed bytes."""

    tensor: Tensor
    dtype: torch.dtype
    shape: torch.Size
    start: int
    stop: int


@frozen(kw_only=True)
class _Packed:
    """All tensors of a block in one stretch of host memory, and the way back to them."""

    memory: Tensor
    pieces: tuple[_Piece, ...] = field(repr=False)

    @classmethod
    def of(cls, block: nn.Module, *, pinned: bool) -> _Packed:
        """Copy a block's parameters and buffers once and let them live in the copy."""
        pieces: list[_Piece] = []
        end = 0
        for tensor in (*block.parameters(), *block.buffers()):
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = start + tensor.numel() * tensor.element_size()
            pieces.append(
                _Piece(tensor=tensor, dtype=tensor.dtype, shape=tensor.shape, start=start, stop=end)
            )
        packed = cls(memory=host_bytes(end, pinned=pinned), pieces=tuple(pieces))
        for piece in pieces:
            packed._view(packed.memory, piece).copy_(piece.tensor.detach())
        packed.bind(packed.memory)
        return packed

    @torch.inference_mode(mode=False)  # a view made in inference would pass as made for it alone
    def bind(self, memory: Tensor) -> None:
        """Let the block's tensors be views of these bytes."""
        for piece in self.pieces:
            piece.tensor.data = self._view(memory, piece)

    def _view(self, memory: Tensor, piece: _Piece) -> Tensor:
        return memory[piece.start : piece.stop].view(piece.dtype).view(piece.shape)
