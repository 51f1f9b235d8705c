"""Takes from a dub what it brings besides frames: its own sound, and where its scenes begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

import itk_media
from itk_media import VideoFrames

from .inputs import naming

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from itk_media import Scene
    from itk_schema import Parameters

    from .inputs import Heard, Inputs


def lay_under(heard: Heard, inputs: Inputs, parameters: Parameters, *, path: str) -> Heard:
    """The speech as people hear it: with the dub's own sound under it, where the job wants that.

    A portrait, or a dub without sound, leaves the speech alone and says so.

    Raises:
        MediaError: the dub's sound cannot be read.
    """
    wanted = parameters.source_audio
    if wanted == "drop":
        return heard
    with naming(f"{path}.cond_video"):
        facts = itk_media.probe(inputs.picture.path)
        if facts.kind != "video" or not facts.has_audio:
            came = "has no sound" if facts.kind == "video" else "is a picture"
            warning = f"source_audio {wanted} has no effect: cond_video {came}"
            return evolve(heard, warnings=(*heard.warnings, warning))
        source = itk_media.read_track(inputs.picture.path, beside_pictures=True)
    source = source.cut(None, heard.track.duration_seconds)
    return evolve(heard, track=itk_media.mix_source(heard.track, source, source_audio=wanted))


def scenes_of(
    picture: np.ndarray | VideoFrames,
    inputs: Inputs,
    parameters: Parameters,
    *,
    check: Callable[[], None],
    path: str,
) -> tuple[Scene, ...]:
    """The scenes of a dub, where the job splits them.

    `check` runs while the video is searched, and may raise, which ends the search.

    Raises:
        MediaError: the dub cannot be read to its end.
    """
    if not parameters.split_scenes or not isinstance(picture, VideoFrames):
        return ()
    with naming(f"{path}.cond_video"):
        return itk_media.find_scenes(inputs.picture.path, check=check)


def without_effect(picture: np.ndarray | VideoFrames, parameters: Parameters) -> tuple[str, ...]:
    """One sentence for each parameter that says nothing about this kind of picture."""
    moving = isinstance(picture, VideoFrames)
    found = []
    if moving and parameters.camera_motion != "none":
        found.append("camera_motion has no effect: cond_video is a video")
    if not moving and parameters.split_scenes:
        found.append("split_scenes has no effect: cond_video is a picture")
    return tuple(found)
