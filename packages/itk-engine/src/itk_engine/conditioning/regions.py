"""Says which part of a picture belongs to which speaker.

A map of regions is [3, h, w] of zeros and ones: first speaker, second speaker, neither.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from torch import Tensor

from itk_engine.errors import InvalidRequestError

from .picture import Placement, Size, resize_masks

Box: TypeAlias = tuple[float, float, float, float]
# Boxes by "corners" are x0, y0, x1, y1 with x to the right and y down. By "rows" they are row0,
# column0, row1, column1, which is how the published pipeline reads them.
BoxOrder: TypeAlias = Literal["corners", "rows"]

_MARGIN = 0.05
_LATENT_STRIDE = 8


def whole_picture(size: Size) -> Tensor:
    """Everything is everybody's: the map of a single speaker."""
    return torch.ones(3, *size)


def halves(size: Size, *, margin: float = _MARGIN) -> Tensor:
    """The first speaker on the left, the second on the right, a border that is nobody's.

    The border is `margin` of each half, along every edge.
    """
    height, width = size
    people = torch.zeros(2, height, width)
    rows = slice(int(margin * height), int((1 - margin) * height))
    half = width // 2
    for person in range(2):
        start = int(margin * half + person * half)
        people[person, rows, start : int((1 - margin) * half + person * half)] = 1
    return with_background(people)


def from_boxes(boxes: Sequence[Box], size: Size, *, order: BoxOrder = "corners") -> Tensor:
    """Each speaker in a box, in pixels of the upright first frame, ends exclusive.

    One box: what lies outside belongs to the second, silent, speaker.

    Raises:
        InvalidRequestError: a box is empty or lies outside the frame (order "corners" only; the
            published order follows the slicing rules of the published pipeline).
    """
    people = torch.zeros(len(boxes), *size)
    for person, box in enumerate(boxes):
        numbers = [int(number) for number in box]
        if order == "corners":
            _check_box(box, size, _field("bbox", person, len(boxes)))
            left, top, right, bottom = numbers
        else:
            top, left, bottom, right = numbers
        people[person, top:bottom, left:right] = 1
    return _of_people(people)


def from_masks(masks: Sequence[Tensor], size: Size) -> Tensor:
    """Each speaker where a grey picture [h, w], uint8, is brighter than half.

    One mask: what it leaves dark belongs to the second, silent, speaker.

    Raises:
        InvalidRequestError: a mask has another size than the frame, or is all dark.
    """
    for person, mask in enumerate(masks):
        field = _field("masks", person, len(masks))
        if tuple(mask.shape) != size:
            raise InvalidRequestError(
                field=field,
                needed=f"the size of the first frame, {size[1]}x{size[0]}",
                came=f"{mask.shape[1]}x{mask.shape[0]}",
            )
        if not (mask > 127).any():
            raise InvalidRequestError(
                field=field, needed="some pixels brighter than half", came="an all dark mask"
            )
    return _of_people(torch.stack([(mask > 127).float() for mask in masks]))


def on_latents(regions: Tensor, placement: Placement) -> Tensor:
    """Bring regions [3, h, w] of the source to the latents [3, H/8, W/8] of the canvas."""
    rows, columns = (side // _LATENT_STRIDE for side in placement.canvas)
    canvas = resize_masks(regions, placement)
    return (F.interpolate(canvas[None], (rows, columns), mode="nearest")[0] > 0).float()


def require_visible(regions: Tensor, *, speakers: int, given_as: str) -> None:
    """Refuse regions [3, h, w] on latents in which the crop left nothing of a speaker.

    `given_as` is the request's field, "bbox" or "masks".

    Raises:
        InvalidRequestError: naming the speaker whose region is gone.
    """
    for person in range(speakers):
        if not regions[person].any():
            raise InvalidRequestError(
                field=_field(given_as, person, speakers),
                needed="a region that remains after the frame is cropped to the video's shape",
                came="one that the crop removes",
            )


def with_background(people: Tensor) -> Tensor:
    """Append to the people's maps [2, h, w] what belongs to neither of them."""
    return torch.cat([people, 1 - people.amax(0, keepdim=True)])


def _of_people(people: Tensor) -> Tensor:
    if len(people) == 1:
        people = torch.cat([people, 1 - people])
    return with_background(people)


def _check_box(box: Box, size: Size, field: str) -> None:
    left, top, right, bottom = box
    height, width = size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InvalidRequestError(
            field=field,
            needed=f"x0 < x1 within 0..{width} and y0 < y1 within 0..{height}",
            came=f"[{left:g}, {top:g}, {right:g}, {bottom:g}]",
        )


def _field(name: str, person: int, people: int) -> str:
    return name if people == 1 else f"{name}.person{person + 1}"
