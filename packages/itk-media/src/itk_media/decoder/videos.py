"""Serves frames of one open video until the parent hangs up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from itk_media.decoder.frames import FrameFinder
from itk_media.decoder.pixels import is_turned, to_rgb
from itk_media.errors import TooLargeError

if TYPE_CHECKING:
    from typing import BinaryIO

    from itk_media.decoder.wire import Parent


def serve_frames(file: BinaryIO, order: dict[str, Any], parent: Parent) -> None:
    """Send the video's facts, then one frame for each order ``seconds`` or ``number``."""
    finder = open_finder(file, order)
    size = square_size(finder)
    facts = video_facts(finder)
    parent.facts(facts)
    while (request := parent.next_order()) is not None:
        if "seconds" in request:
            frame = finder.at(float(request["seconds"]))
        else:
            frame = finder.number(int(request["number"]))
        parent.data(to_rgb(frame, size).data)


def open_finder(file: BinaryIO, order: dict[str, Any]) -> FrameFinder:
    """Open the video within the ordered limits, its length included."""
    finder = FrameFinder(
        file, max_pixels=int(order["max_pixels"]), max_frames=int(order["max_frames"])
    )
    if finder.duration_seconds > float(order["max_seconds"]):
        message = (
            f"the video is {finder.duration_seconds:.0f} s long; "
            f"at most {order['max_seconds']:.0f} s are allowed"
        )
        raise TooLargeError(message, reason="too_long")
    return finder


def video_facts(finder: FrameFinder) -> dict[str, Any]:
    """Describe the video as it is seen: upright, with square pixels."""
    width, height = square_size(finder)
    if is_turned(finder.at(0.0)):
        width, height = height, width
    rate = finder.stream.average_rate or finder.stream.guessed_rate
    return {
        "width": width,
        "height": height,
        "duration_seconds": finder.duration_seconds,
        "frames": finder.index.frames,
        "frames_per_second": float(rate) if rate else 0.0,
    }


def square_size(finder: FrameFinder) -> tuple[int, int]:
    """Return (width, height) with the pixel aspect ratio worked in, before any turn."""
    frame = finder.at(0.0)
    aspect = finder.stream.sample_aspect_ratio
    ratio = float(aspect) if aspect else 1.0
    if not 0.1 < ratio < 10.0 or ratio == 1.0:
        return frame.width, frame.height
    return max(2, round(frame.width * ratio)), frame.height
