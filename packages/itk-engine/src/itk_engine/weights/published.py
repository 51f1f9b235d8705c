"""Names and shapes of every published tensor that the engine uses.

They prove, without the files, that the models of this package take the published weights whole.
`blocks.{40}.x` in the list stands for `blocks.0.x` to `blocks.39.x`.
"""

import json  # noqa: TID251  the list is data of this package
import re
from functools import cache
from importlib.resources import files
from math import prod
from typing import Literal, TypeAlias

Part: TypeAlias = Literal[
    "transformer", "text_encoder", "image_encoder", "autoencoder", "speech_encoder"
]


@cache
def published_shapes(part: Part) -> dict[str, tuple[int, ...]]:
    """The stored name and shape of every tensor of one part of the published checkpoint."""
    text = (files(__package__ or "") / "published.json").read_text(encoding="utf-8")
    shapes: dict[str, tuple[int, ...]] = {}
    for pattern, shape in json.loads(text)[part].items():
        repeated = re.search(r"\{(\d+)\}", pattern)
        for number in range(int(repeated[1]) if repeated else 1):
            shapes[re.sub(r"\{\d+\}", str(number), pattern)] = tuple(shape)
    return shapes


def published_parameters(part: Part) -> int:
    """How many numbers a part of the published checkpoint holds."""
    return sum(prod(shape) for shape in published_shapes(part).values())
