"""Opens media containers with only the formats and protocols that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import av.error
import av.logging
from av.stream import Disposition

from itk_media.errors import TooLargeError, UnreadableMediaError, UnsupportedMediaError

if TYPE_CHECKING:
    from typing import BinaryIO

    from av.container import InputContainer
    from av.video.stream import VideoStream

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpegts,mpeg,mpegvideo,"
    "wav,w64,aiff,flac,mp3,ogg,aac,amr,caf"
)
_OPTIONS = {
    "format_whitelist": DEMUXERS,
    "protocol_whitelist": "file",
    "enable_drefs": "0",
    "use_absolute_path": "0",
}


def open_container(file: BinaryIO) -> InputContainer:
    """Open a file through its descriptor: no name, so no protocol and no network.

    Playlists (HLS, DASH, concat) are refused by their demuxer's absence from the list,
    and external references of QuickTime files are not followed.
    """
    av.logging.set_level(None)
    try:
        return av.open(file, mode="r", options=_OPTIONS, metadata_errors="ignore")
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        message = "the file is damaged, cut short, or not media of an accepted format"
        raise UnreadableMediaError(message) from error
    except (av.error.FFmpegError, ValueError) as error:
        message = f"the file is not media of an accepted format ({error})"
        raise UnsupportedMediaError(message) from error


def video_stream(container: InputContainer, max_pixels: int) -> VideoStream | None:
    """Return the first moving video stream (cover art is not one), with its size checked."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise UnsupportedMediaError("the video is coded in a way that cannot be decoded")
        if stream.width * stream.height > max_pixels:
            message = (
                f"the video is {stream.width}x{stream.height}; "
                f"at most {max_pixels} pixels a frame are allowed"
            )
            raise TooLargeError(message)
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        return stream
    return None
