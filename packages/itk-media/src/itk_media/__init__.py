"""Pictures, speech and video: files in, files out."""

from .arrays import Pixels, Samples
from .errors import (
    BlockedAddressError,
    DecoderError,
    DownloadError,
    EncodeError,
    InvalidSourceError,
    MediaError,
    SpeechTooShortError,
    TooLargeError,
    UnreadableMediaError,
    UnsupportedMediaError,
)
from .fetch import Fetcher, LocalFile
from .image import read_image, read_mask
from .loudness import loudness_gain, normalise_loudness
from .mixing import mix_speeches, resample
from .probe import MediaProbe, probe
from .rules import DownloadRules
from .sandbox import DecoderLimits
from .sniff import FileType, sniff
from .speech import read_speech, read_track
from .thumbnail import write_thumbnail
from .tracks import Track, Waveform
from .video import VideoFrames, open_video
from .writer import VideoWriter

__all__ = [
    "BlockedAddressError",
    "DecoderError",
    "DecoderLimits",
    "DownloadError",
    "DownloadRules",
    "EncodeError",
    "Fetcher",
    "FileType",
    "InvalidSourceError",
    "LocalFile",
    "MediaError",
    "MediaProbe",
    "Pixels",
    "Samples",
    "SpeechTooShortError",
    "TooLargeError",
    "Track",
    "UnreadableMediaError",
    "UnsupportedMediaError",
    "VideoFrames",
    "VideoWriter",
    "Waveform",
    "loudness_gain",
    "mix_speeches",
    "normalise_loudness",
    "open_video",
    "probe",
    "read_image",
    "read_mask",
    "read_speech",
    "read_track",
    "resample",
    "sniff",
    "write_thumbnail",
]
