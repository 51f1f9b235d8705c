"""Frames the source picture for the model, and the model's video for the viewer."""

from collections import OrderedDict

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from itk_engine.conditioning import (
    Placement,
    bucket_for,
    normalise,
    place,
    resize_and_crop,
)
from itk_engine.conditioning.regions import (
    from_boxes,
    from_masks,
    halves,
    on_latents,
    require_visible,
)
from itk_engine.request import GenerationRequest, Picture
from itk_media import MovingStill
from itk_schema import Parameters

Size = tuple[int, int]  # height, width

_REMEMBERED = 2  # framed pictures kept: the first one, and the one of the chunk before


@frozen(kw_only=True, eq=False)
class Framing:
    """How the source lies on the canvas that is generated, and what is delivered of it.

    `canvas` and `delivered` are (height, width): the model's size and the video's.
    """

    source: Picture
    placement: Placement
    parameters: Parameters
    delivered: Size
    _framed: OrderedDict[int, Tensor] = field(factory=OrderedDict, init=False)

    @classmethod
    def of(cls, source: Picture, parameters: Parameters, *, scale: float = 1.0) -> "Framing":
        """Choose the canvas by the first frame; `scale` shrinks it for a tiny model."""
        motion = parameters.camera_motion
        if motion != "none" and source.is_still:
            source = MovingStill(picture=source.frame(0), motion=motion)
        height, width = source.frame(0).shape[:2]
        canvas = bucket_for(height, width, parameters.size, scale=scale)
        placement = place(
            (height, width), canvas, fit=parameters.fit, focus=tuple(parameters.focus)
        )
        return cls(
            source=source,
            placement=placement,
            parameters=parameters,
            delivered=_source_size(placement)
            if parameters.output_size == "source"
            else placement.canvas,
        )

    @property
    def canvas(self) -> Size:
        """Return the height and width that the model works at."""
        return self.placement.canvas

    def picture(self, index: int) -> Tensor:
        """Return the picture at a frame number, [3, 1, H, W] in [-1, 1].

        A still picture is the same tensor at every frame.
        """
        key = 0 if self.source.is_still else index
        if key not in self._framed:
            canvas = resize_and_crop(
                self.source.frame(index),
                self.canvas,
                fit=self.parameters.fit,
                focus=tuple(self.parameters.focus),
            )
            self._framed[key] = normalise(canvas).unsqueeze(1)
            while len(self._framed) > _REMEMBERED:
                self._framed.popitem(last=False)
        return self._framed[key]

    def deliver(self, video: Tensor) -> NDArray[np.uint8]:
        """Return frames uint8 [F, H, W, 3] of a video [3, F, H, W] in [-1, 1]."""
        frames = ((video + 1) / 2 * 255).clamp(0, 255).to(torch.uint8).movedim(0, 1)
        if self.delivered != self.canvas:
            frames = self._scaled(frames)
        return frames.movedim(1, -1).contiguous().cpu().numpy()

    def _scaled(self, frames: Tensor) -> Tensor:
        """Cut what `pad` added, then scale to the delivered size, a few frames at a time."""
        place_ = self.placement
        top, left = max(place_.top, 0), max(place_.left, 0)
        rows, columns = (min(place_.resized[i], place_.canvas[i]) for i in (0, 1))
        seen = frames[:, :, top : top + rows, left : left + columns]
        parts = [
            functional.interpolate(
                part.float(), self.delivered, mode="bicubic", antialias=True, align_corners=False
            )
            for part in seen.split(8)
        ]
        return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def place_regions(request: GenerationRequest, framing: Framing) -> Tensor:
    """Return who is where, [3, h, w] at latent resolution: first, second, neither.

    Raises:
        InvalidRequestError: a box or mask does not fit the first frame, or nothing of it
            remains after the crop.
    """
    size = framing.placement.source
    if request.masks:
        masks = [torch.from_numpy(np.ascontiguousarray(mask)) for mask in request.masks]
        regions, given_as = from_masks(masks, size), "masks"
    elif request.boxes:
        boxes = [(box[0], box[1], box[2], box[3]) for box in request.boxes]
        regions, given_as = from_boxes(boxes, size), "bbox"
    else:
        return on_latents(halves(size), framing.placement)
    placed = on_latents(regions, framing.placement)
    require_visible(placed, speakers=len(request.speeches), given_as=given_as)
    return placed


def _source_size(placement: Placement) -> Size:
    """Return the source's resolution, cropped to what the canvas shows, in even numbers."""
    scale = placement.resized[0] / placement.source[0]
    seen = (min(placement.resized[i], placement.canvas[i]) / scale for i in (0, 1))
    height, width = (max(2, round(side / 2) * 2) for side in seen)
    return height, width
