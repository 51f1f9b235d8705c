"""Cases of the arithmetic around the models: sizes, crops, masks, times, guidance, colours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from itk_engine.colour import match_colours
from itk_engine.conditioning import (
    bucket_for,
    clean_prompt,
    place,
    resize_and_crop,
    resize_masks,
)
from itk_engine.conditioning.regions import from_boxes, halves, on_latents, whole_picture
from itk_engine.sampling import ProjectedGuidance, timesteps
from itk_engine.tts import dialogue

from .verdict import Check, close, equal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from .bench import Bench
    from .folder import Case


def pictures(case: Case, bench: Bench) -> list[Check]:
    """Compare whatever of these the case holds."""
    io, facts = case.tensors(), case.get("facts", {})
    return [
        *_crops(io),
        *_times(io, bench),
        *_projections(io, facts, bench),
        *_colours(io, bench),
        *_buckets(facts),
        *_prompts(facts),
        *_dialogues(facts),
        *_masks(io, facts),
    ]


def regions_of(size: tuple[int, int], boxes: Any, *, speakers: int, margin: float) -> Tensor:
    """Return the regions [3, h, w] on the source, boxes in the reference's order."""
    if speakers == 1:
        return whole_picture(size)
    if boxes:
        return from_boxes([tuple(box) for box in boxes.values()], size, order="rows")
    return halves(size, margin=margin)


def _crops(io: Mapping[str, Tensor]) -> Iterator[Check]:
    for name, record in io.items():
        kind, _, shape = name.removeprefix("out.").partition(".")
        if not name.startswith("out.") or kind not in {"image", "mask"}:
            continue
        source = io[f"in.{kind}.{shape}"]
        canvas = (record.shape[-2], record.shape[-1])
        if kind == "image":
            yield equal(name, resize_and_crop(source.numpy(), canvas), record[0, :, 0])
        else:
            placement = place((source.shape[-2], source.shape[-1]), canvas)
            yield equal(name, resize_masks(source, placement), record)


def _times(io: Mapping[str, Tensor], bench: Bench) -> Iterator[Check]:
    for name, record in io.items():
        if found := re.fullmatch(r"out\.timesteps\.steps(\d+)_shift([\d.]+)", name):
            came = timesteps(int(found[1]), shift=float(found[2]))
            yield close(name, came, record, tolerance=bench.part)


def _projections(
    io: Mapping[str, Tensor], facts: Mapping[str, Any], bench: Bench
) -> Iterator[Check]:
    groups: dict[str, ProjectedGuidance] = {}
    for name in sorted(name for name in io if name.startswith("out.apg.")):
        group, _, call = name.removeprefix("out.apg.").rpartition(".")
        if group not in groups:
            said = facts[f"apg.{group}"]
            groups[group] = ProjectedGuidance(
                momentum=said["momentum"], norm_threshold=said["norm_threshold"]
            )
        difference, cond = (
            io[f"in.apg.{group}.{part}{call}"].to(bench.device) for part in ("diff", "cond")
        )
        yield close(name, groups[group](difference, cond), io[name], tolerance=bench.part)


def _colours(io: Mapping[str, Tensor], bench: Bench) -> Iterator[Check]:
    for name, record in io.items():
        if found := re.fullmatch(r"out\.color\.(?:(\w+)_)?([\d.]+)", name):
            video = io[f"in.color.{found[1]}_video" if found[1] else "in.color.video"]
            came = match_colours(
                video[0].to(bench.device), io["in.color.ref"][0].to(bench.device), float(found[2])
            )
            yield close(name, came, record[0], tolerance=bench.part)


def _buckets(facts: Mapping[str, Any]) -> Iterator[Check]:
    for size, choices in facts.get("bucket_choice", {}).items():
        came = []
        for choice in choices:
            source = (choice["h"], choice["w"])
            canvas = bucket_for(*source, size)
            came.append([list(canvas), list(place(source, canvas).resized)])
        record = [[choice["target"], choice["resized"]] for choice in choices]
        yield equal(f"buckets of {size}", came, record)


def _prompts(facts: Mapping[str, Any]) -> Iterator[Check]:
    for place_, said in enumerate(facts.get("text_clean", [])):
        yield equal(f"cleaned prompt {place_}", clean_prompt(said["src"]), said["out"])


def _dialogues(facts: Mapping[str, Any]) -> Iterator[Check]:
    for place_, said in enumerate(facts.get("tts", [])):
        came = [[turn.text, f"v{turn.speaker}"] for turn in dialogue(said["text"])]
        yield equal(f"dialogue {place_}", came, [call[:2] for call in said["calls"]])


def _masks(io: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Iterator[Check]:
    for name, record in io.items():
        if not name.startswith("out.masks."):
            continue
        said = facts[name.removeprefix("out.masks.")]
        size = (said["src_h"], said["src_w"])
        regions = regions_of(size, said["bbox"], speakers=said["humans"], margin=said["face_scale"])
        canvas = bucket_for(*size, said["size"])
        came = on_latents(regions, place(size, canvas))
        yield equal(name, came.to(torch.uint8), record)
