"""Cases of weights: LoRAs merged as the reference merges them, quantised files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from itk_engine.config import Lora
from itk_engine.model import DiT, DiTConfig
from itk_engine.weights import (
    LoraMerge,
    fill,
    read_entries,
    read_map,
    replace_linears,
    stored_names,
)

from .dit import predict
from .verdict import Check, close, equal

if TYPE_CHECKING:
    from .bench import Bench
    from .folder import Case


def merging(case: Case, bench: Bench) -> list[Check]:
    """Merge the files in their order, by the reference's narrower reading of their keys."""
    io, weights = case.tensors(), case.tensors("weights")
    loras = [
        Lora(path=case.folder / name, scale=scale)
        for name, scale in zip(case["lora_files"], case["lora_scales"], strict=True)
    ]
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    merge = LoraMerge.read(loras, shapes, reading="reference")
    merged = {name: merge(name, tensor.to(bench.device)).cpu() for name, tensor in weights.items()}
    changed = {name for name, tensor in merged.items() if not torch.equal(tensor, weights[name])}
    return [
        equal("changed parameters", sorted(changed), sorted(case["changed"])),
        *(
            close(name, merged[name.removeprefix("out.")], record, tolerance=bench.part)
            for name, record in io.items()
        ),
    ]


def quantised(case: Case, bench: Bench) -> list[Check]:
    """Predict with the weights that the file's numbers stand for."""
    io, table = case.tensors(), case.path("quant_map")
    kinds = read_map(table)
    with torch.device("meta"):
        dit = DiT(DiTConfig.from_mapping(case["config"]))
    replace_linears(dit, kinds, file=table)
    file = case.path("weights")
    entries = stored_names(read_entries(file, what="quantised weights"), kinds)
    fill(dit, entries, device=bench.device, dtype=bench.dtype, home=lambda _: file)
    velocity = predict(dit, io, io["in.audio"], bench=bench)
    return [close("out.pred", velocity, io["out.pred"], tolerance=bench.part)]
