"""Describes a media file without decoding it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from itk_media.errors import UnsupportedMediaError
from itk_media.sniff import HEAD_BYTES, sniff

if TYPE_CHECKING:
    from typing import BinaryIO

    from itk_media.decoder.wire import Parent


def send_probe(file: BinaryIO, order: dict[str, Any], parent: Parent) -> None:
    """Send kind, size, rates and lengths."""
    found = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    if found is None:
        raise UnsupportedMediaError("the file is of no known picture, sound or video type")
    facts = _image(file, order) if found.family == "image" else _container(file, order)
    parent.facts({**facts, "mime": found.mime})


def _image(file: BinaryIO, order: dict[str, Any]) -> dict[str, Any]:
    from itk_media.decoder.pictures import open_picture, upright_size

    width, height = upright_size(open_picture(file, int(order["max_pixels"])))
    return {"kind": "image", "width": width, "height": height}


def _container(file: BinaryIO, order: dict[str, Any]) -> dict[str, Any]:
    from itk_media.decoder.containers import open_container, video_stream

    container = open_container(file)
    moving = video_stream(container, int(order["max_pixels"]))
    facts: dict[str, Any] = {"kind": "audio", "has_audio": bool(container.streams.audio)}
    if container.streams.audio and container.streams.audio[0].codec_context is not None:
        sound = container.streams.audio[0].codec_context
        facts |= {
            "sample_rate": sound.sample_rate,
            "channels": sound.channels,
            "audio_codec": sound.name,
        }
    if moving is None:
        if not facts["has_audio"]:
            raise UnsupportedMediaError("the file holds neither pictures nor sound")
        return facts | {"duration_seconds": _sound_seconds(file, container.duration)}
    from itk_media.decoder.videos import open_finder, video_facts

    codec = moving.codec_context.name
    container.close()
    return facts | video_facts(open_finder(file, order)) | {"kind": "video", "video_codec": codec}


def _sound_seconds(file: BinaryIO, container_microseconds: int | None) -> float:
    """Prefer libsndfile's count of samples to a container's estimate."""
    import soundfile

    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            return sound.frames / sound.samplerate
    except soundfile.LibsndfileError:
        return (container_microseconds or 0) / 1e6
