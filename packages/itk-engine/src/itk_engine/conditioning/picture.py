"""Brings a picture to the size at which the model works."""

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

Size: TypeAlias = tuple[int, int]  # height, width
BucketTable: TypeAlias = Mapping[str, Size]

# The sizes that InfiniteTalk was trained at, by height / width. The ratio of a bucket is the
# rounded number of its key, not that of its sides.
BUCKETS: Mapping[str, BucketTable] = {
    "infinitetalk-480": {
        "0.26": (320, 1216),
        "0.38": (384, 1024),
        "0.50": (448, 896),
        "0.67": (512, 768),
        "0.82": (576, 704),
        "1.00": (640, 640),
        "1.22": (704, 576),
        "1.50": (768, 512),
        "1.86": (832, 448),
        "2.00": (896, 448),
        "2.50": (960, 384),
        "2.83": (1088, 384),
        "3.60": (1152, 320),
        "3.80": (1216, 320),
        "4.00": (1280, 320),
    },
    "infinitetalk-720": {
        "0.22": (448, 2048),
        "0.29": (512, 1792),
        "0.36": (576, 1600),
        "0.45": (640, 1408),
        "0.55": (704, 1280),
        "0.63": (768, 1216),
        "0.76": (832, 1088),
        "0.88": (896, 1024),
        "1.00": (960, 960),
        "1.14": (1024, 896),
        "1.31": (1088, 832),
        "1.50": (1152, 768),
        "1.58": (1216, 768),
        "1.82": (1280, 704),
        "1.91": (1344, 704),
        "2.20": (1408, 640),
        "2.30": (1472, 640),
        "2.67": (1536, 576),
        "2.89": (1664, 576),
        "3.62": (1856, 512),
        "3.75": (1920, 512),
    },
}
_SIDE_STEP = 16  # the VAE takes 8 pixels for one, the transformer's patches 2 latents for one


def bucket_for(height: int, width: int, size: str | BucketTable, *, scale: float = 1.0) -> Size:
    """Return the (height, width) at which a picture of this shape is generated.

    Args:
        height: of the source picture, pixels.
        width: of the source picture, pixels.
        size: a name in BUCKETS, or a table of the same form.
        scale: multiplies the sizes, which are then rounded to 16 pixels.

    The key nearest to height / width wins, the earlier one of two that are equally near.
    """
    table = BUCKETS[size] if isinstance(size, str) else size
    ratio = height / width
    key = min(table, key=lambda name: abs(float(name) - ratio))
    if scale == 1.0:
        return table[key]
    rows, columns = (
        max(_SIDE_STEP, round(side * scale / _SIDE_STEP) * _SIDE_STEP) for side in table[key]
    )
    return rows, columns


@frozen(kw_only=True)
class Placement:
    """How a source picture comes to lie on the canvas that is generated.

    The source is resized to `resized`; its pixel (-top, -left) lies in the canvas's upper left
    corner, so that positive `top` and `left` are the width of a border.
    """

    source: Size
    resized: Size
    canvas: Size
    top: int
    left: int


def place(
    source: Size,
    canvas: Size,
    *,
    fit: Literal["crop", "pad"] = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
) -> Placement:
    """Decide how a source of (height, width) is resized and cut or bordered to the canvas.

    `crop` covers the canvas and cuts what sticks out, `pad` shows all and leaves a border.
    `focus` is the point (x, y), each 0..1 of the source, that stays nearest to the middle.
    """
    choose = max if fit == "crop" else min
    scale = choose(canvas[0] / source[0], canvas[1] / source[1])
    if fit == "crop":
        # The product may come out a hair above a whole number, which adds a row: so does the
        # published pipeline.
        resized = ceil(scale * source[0]), ceil(scale * source[1])
    else:
        resized = (
            min(canvas[0], max(1, round(scale * source[0]))),
            min(canvas[1], max(1, round(scale * source[1]))),
        )
    top, left = (
        -_offset(large, small, centre)
        for large, small, centre in zip(resized, canvas, focus[::-1], strict=True)
    )
    return Placement(source=source, resized=resized, canvas=canvas, top=top, left=left)


def resize_and_crop(
    picture: NDArray[np.uint8],
    canvas: Size,
    *,
    fit: Literal["crop", "pad"] = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
) -> Tensor:
    """Bring a picture uint8 [h, w, 3] to the canvas: uint8 [3, H, W].

    Antialiased bilinear resizing, then a cut around the focus (the centre by default) or, with
    `pad`, a black border.
    """
    placement = place((picture.shape[0], picture.shape[1]), canvas, fit=fit, focus=focus)
    resized = np.array(_resize(picture, placement.resized))
    return lay(torch.from_numpy(resized).permute(2, 0, 1), placement)


def resize_masks(masks: Tensor, placement: Placement) -> Tensor:
    """Bring masks [n, h, w] of the source to the canvas [n, H, W], by nearest neighbour."""
    resized = F.interpolate(masks[None].float(), placement.resized, mode="nearest")[0]
    return lay(resized.to(masks.dtype), placement)


def lay(resized: Tensor, placement: Placement) -> Tensor:
    """Cut or border [c, h, w] of the resized source to the canvas [c, H, W]; borders are zero."""
    (rows, columns), (height, width) = placement.canvas, placement.resized
    top, left = placement.top, placement.left
    cut = resized[:, max(0, -top) : rows - top, max(0, -left) : columns - left]
    above, before = max(0, top), max(0, left)
    border = (before, columns - before - cut.shape[2], above, rows - above - cut.shape[1])
    assert cut.shape[1] <= height
    assert cut.shape[2] <= width
    return F.pad(cut, border).contiguous()


def normalise(picture: Tensor) -> Tensor:
    """Map uint8 0..255 to float32 -1..1."""
    return (picture.float() / 255 - 0.5) * 2


def _resize(picture: NDArray[np.uint8], size: Size) -> "Image":
    from PIL import Image

    # Each pass rounds to whole levels, so that their order shows. This is the order of Pillow 13,
    # with which the published pipeline's results are compared; older ones always begin with rows.
    (height, width), (rows, columns) = picture.shape[:2], size
    columns_first = rows < height and height - rows > 2 * (width - columns)
    between = (width, rows) if columns_first else (columns, height)
    bilinear = Image.Resampling.BILINEAR
    return Image.fromarray(picture).resize(between, bilinear).resize((columns, rows), bilinear)


def _offset(large: int, small: int, centre: float) -> int:
    """How many of `large` pixels lie before the `small` ones that are kept; may be negative."""
    if large <= small or centre == 0.5:
        return round((large - small) / 2)
    return min(max(round(centre * large - small / 2), 0), large - small)
