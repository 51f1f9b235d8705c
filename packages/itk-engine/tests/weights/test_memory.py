"""Loading never holds a second copy of the weights."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import torch
from safetensors.torch import save_file

from itk_engine.config import CheckpointFiles, Lora
from itk_engine.model import DiT
from itk_engine.tiny import TINY_SIZES, TinyModels, write_checkpoint
from itk_engine.weights import read_entries, read_transformer, without_values

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")

CPU = torch.device("cpu")
MIB = 2**20
LARGE = attrs.evolve(TINY_SIZES.dit, dim=1536, ffn_dim=4096, num_heads=12, num_layers=4)


class Peak:
    """The most memory of its own, besides mapped files, that this process had."""

    bytes = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Look at the process's own memory every few milliseconds; count from the beginning."""
    peak, over, before = Peak(), threading.Event(), own_bytes()

    def look() -> None:
        while not over.wait(0.002):
            peak.bytes = max(peak.bytes, own_bytes() - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
    peak.bytes = max(peak.bytes, own_bytes() - before)


def own_bytes() -> int:
    """Return the memory that is neither a mapped file nor shared."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in status if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[CheckpointFiles, int]:
    """Give a checkpoint with a transformer of some hundred megabytes in bfloat16, and its size."""
    folder = tmp_path_factory.mktemp("large")
    small = write_checkpoint(folder / "small", TinyModels.random(TINY_SIZES))
    with without_values():
        model = DiT(LARGE)
    state = {
        name: torch.full(tensor.shape, 0.5, dtype=torch.bfloat16)
        for name, tensor in model.state_dict().items()
    }
    whole = folder / "complete.safetensors"
    save_file(state, whole)
    base = folder / "base"
    base.mkdir()
    text = (small.base / "config.json").read_text(encoding="utf-8")
    for name in ("dim", "ffn_dim", "num_heads", "num_layers"):
        old, new = getattr(TINY_SIZES.dit, name), getattr(LARGE, name)
        assert f'"{name}": {old}' in text
        text = text.replace(f'"{name}": {old}', f'"{name}": {new}')
    (base / "config.json").write_text(text, encoding="utf-8")
    return attrs.evolve(small, base=base, adapter=whole), whole.stat().st_size


def test_weights_of_the_same_dtype_stay_in_the_mapped_file(
    large: tuple[CheckpointFiles, int],
) -> None:
    """A CPU computes from the file's own pages; nothing is copied."""
    files, size = large
    assert size > 250 * MIB
    with watched() as peak:
        model, _, _ = read_transformer(files, device=CPU, dtype=torch.bfloat16)
    assert model.head.head.weight.mean() == 0.5
    assert peak.bytes < 0.1 * size


def test_converted_and_merged_weights_exist_once(
    large: tuple[CheckpointFiles, int], tmp_path: Path
) -> None:
    """To float32 with a LoRA: what the model keeps, and one tensor's work besides."""
    files, size = large
    lora = tmp_path / "lora.safetensors"
    layers = [f"diffusion_model.blocks.{block}.ffn.0" for block in range(LARGE.num_layers)]
    halves = {"lora_down": (8, LARGE.dim), "lora_up": (LARGE.ffn_dim, 8)}
    save_file(
        {
            f"{layer}.{half}.weight": torch.ones(shape)
            for layer in layers
            for half, shape in halves.items()
        },
        lora,
    )
    merged = attrs.evolve(files, loras=(Lora(path=lora),))
    with watched() as peak:
        model, _, _ = read_transformer(merged, device=CPU, dtype=torch.float32)
    assert model.blocks[0].ffn[0].weight.mean() == 8.5
    largest = max(parameter.nbytes for parameter in model.parameters())
    assert peak.bytes < 2 * size + 5 * largest


def test_a_pickle_is_mapped(tmp_path: Path) -> None:
    """Looking into a .pth file of 256 MB costs next to nothing, and reading it no copy."""
    file = tmp_path / "large.pth"
    torch.save({f"layer{n}": torch.full((8192, 1024), 0.5) for n in range(8)}, file)
    with watched() as peak:
        entries = read_entries(file, what="weights")
        total = sum(float(entry.read().sum()) for entry in entries.values())
    assert total == 8 * 8192 * 1024 / 2
    assert peak.bytes < 16 * MIB
