"""Blocks whose weights are streamed give what resident ones give."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from itk_engine.placement import BlockStreamer, free_device_memory
from itk_engine.placement.streaming import spread

CPU = torch.device("cpu")


class Stack(nn.Module):
    """Blocks in a row, as the transformer and the text encoder have them."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12)) for _ in range(blocks)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add each block's update."""
        for block in self.blocks:
            x = x + block(x)
        return x


@pytest.mark.parametrize("resident", range(6))
@torch.no_grad()
def test_the_number_of_resident_blocks_does_not_change_the_result(resident: int) -> None:
    """Three forwards in a row equal the unstreamed ones bit by bit."""
    model = Stack(5)
    expected = copy.deepcopy(model)
    streamer = BlockStreamer(model.blocks, CPU, resident=resident)
    assert len(streamer.streamed) == 5 - resident
    for _ in range(3):
        x = torch.randn(7, 12)
        assert torch.equal(model(x), expected(x))


@torch.no_grad()
def test_a_forward_that_was_cut_short_leaves_nothing_wrong_behind() -> None:
    """A cancelled forward may end in any block; the next one still gives the right result."""
    model = Stack(5)
    expected = copy.deepcopy(model)
    BlockStreamer(model.blocks, CPU, resident=1)
    x = torch.randn(3, 12)
    for stop in range(1, 5):
        y = x
        for block in model.blocks[:stop]:
            y = y + block(y)
        with pytest.raises(RuntimeError):
            model.blocks[stop](torch.randn(3, 11))
        assert torch.equal(model(x), expected(x))


@torch.no_grad()
def test_released_blocks_come_back() -> None:
    """After release the weights lie on the host alone, and the next forward fetches them."""
    model = Stack(4)
    expected = copy.deepcopy(model)
    streamer = BlockStreamer(model.blocks, CPU, resident=2, recallable=True)
    x = torch.randn(3, 12)
    for _ in range(2):
        streamer.recall()
        assert torch.equal(model(x), expected(x))
        streamer.release()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])


@torch.no_grad()
def test_the_number_of_resident_blocks_may_change_between_generations() -> None:
    """A larger picture leaves less room for blocks; the results stay the same."""
    model = Stack(5)
    expected = copy.deepcopy(model)
    streamer = BlockStreamer(model.blocks, CPU, resident=5, recallable=True)
    x = torch.randn(3, 12)
    for resident in (5, 2, 0, 4, 5):
        streamer.keep(resident)
        assert len(streamer.streamed) == 5 - resident
        assert torch.equal(model(x), expected(x))
    fixed = BlockStreamer(Stack(3).blocks, CPU, resident=1)
    with pytest.raises(ValueError, match="recallable"):
        fixed.keep(2)


@torch.no_grad()
def test_nothing_moves_where_as_many_blocks_stay_as_before() -> None:
    """The next generation of the same size finds its blocks where they are."""
    model = Stack(5)
    streamer = BlockStreamer(model.blocks, CPU, resident=2, recallable=True)
    streamer.recall()
    slots, stay = streamer._slots, streamer._resident_memory
    assert len(stay) == 2
    streamer.keep(2)
    streamer.recall()
    assert streamer._slots is slots
    assert streamer._resident_memory is stay
    streamer.keep(3)
    streamer.recall()
    assert streamer._slots is not slots
    assert len(streamer._resident_memory) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_blocks_that_leave_the_device_make_room_for_those_that_stay() -> None:
    """The allocator never holds the old single tensors beside the new whole blocks."""
    device = torch.device("cuda")
    layers = [[nn.Linear(1024, 4096) for _ in range(4)] for _ in range(6)]
    blocks = nn.ModuleList(nn.Sequential(*each) for each in layers).to(device)
    free_device_memory(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_reserved(device)
    BlockStreamer(blocks, device, resident=3, recallable=True).recall()
    assert torch.cuda.max_memory_reserved(device) <= before + 8 * 1024**2


@torch.no_grad()
def test_mixed_dtypes_and_buffers_are_packed_together() -> None:
    """A block may hold parameters and buffers of several dtypes."""
    model = Stack(3)
    for block in model.blocks:
        block[2].to(torch.bfloat16)
        block.register_buffer("scale", torch.randn(3, dtype=torch.float64))
    expected = copy.deepcopy(model.state_dict())
    streamer = BlockStreamer(model.blocks, CPU, resident=0)
    assert streamer.host_bytes >= sum(v.numel() * v.element_size() for v in expected.values())
    for name, value in model.state_dict().items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value, expected[name])


@torch.no_grad()
def test_closing_leaves_an_ordinary_model() -> None:
    """After close nothing is streamed and the model still works."""
    model = Stack(3)
    expected = copy.deepcopy(model)
    streamer = BlockStreamer(model.blocks, CPU, resident=1)
    streamer.close()
    x = torch.randn(3, 12)
    assert torch.equal(model(x), expected(x))
    assert not any(block._forward_hooks for block in model.blocks)


def test_resident_blocks_are_spread_evenly() -> None:
    """A streamed block has resident neighbours as far as there are any."""
    assert spread(0, 5) == frozenset()
    assert spread(5, 5) == frozenset(range(5))
    for count in range(1, 41):
        chosen = sorted(spread(count, 40))
        assert len(chosen) == count
        gaps = [b - a for a, b in pairwise(chosen)]
        assert not gaps or max(gaps) - min(gaps) <= 1
    with pytest.raises(ValueError, match=r"within 0\.\.3, got 4"):
        spread(4, 3)
