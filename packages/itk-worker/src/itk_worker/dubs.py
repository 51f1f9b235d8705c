"""Takes from a dub what it brings besides frames: its own sound, and where its scenes begin."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from attrs import evolve

import itk_media
from itk_media import VideoFrames

from .inputs import naming

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from itk_media import Scene
    from itk_schema import Parameters

    from .inputs import Heard, Inputs

LOOK_SECONDS = 0.1  # how often a search for scenes looks whether the job was stopped


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


def find_cuts(
    picture: np.ndarray | VideoFrames,
    inputs: Inputs,
    parameters: Parameters,
    *,
    check: Callable[[], None],
    path: str,
) -> tuple[float, ...]:
    """The moments, in seconds, at which a dub's scenes begin, where the job splits them.

    `check` runs while the video is searched, and may raise.

    Raises:
        MediaError: the dub cannot be read to its end.
    """
    if not parameters.split_scenes or not isinstance(picture, VideoFrames):
        return ()
    with naming(f"{path}.cond_video"):
        scenes = _search(inputs.picture.path, check)
    return tuple(scene.start_seconds for scene in scenes[1:])


def without_effect(picture: np.ndarray | VideoFrames, parameters: Parameters) -> tuple[str, ...]:
    """One sentence for each parameter that says nothing about this kind of picture."""
    moving = isinstance(picture, VideoFrames)
    found = []
    if moving and parameters.camera_motion != "none":
        found.append("camera_motion has no effect: cond_video is a video")
    if not moving and parameters.split_scenes:
        found.append("split_scenes has no effect: cond_video is a picture")
    return tuple(found)


def _search(path: Path, check: Callable[[], None]) -> tuple[Scene, ...]:
    """Find scenes on a thread of its own; a stopped job leaves it to end by itself."""
    found: list[tuple[Scene, ...]] = []
    failed: list[BaseException] = []

    def search() -> None:
        try:
            found.append(itk_media.find_scenes(path))
        except BaseException as error:  # noqa: BLE001  handed to whoever waits
            failed.append(error)

    thread = threading.Thread(target=search, name="scenes", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
        check()
    if failed:
        raise failed[0]
    return found[0]
