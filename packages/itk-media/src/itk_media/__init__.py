"""Pictures, speech and video: files in, files out."""

from .arrays import Pixels, Samples
from .camera import CameraMotion, MovingStill
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
from .fit import FitPlan, plan_fit
from .image import read_image, read_mask
from .loudness import loudness_gain, normalise_loudness
from .mixing import mix_source, mix_speeches, resample, speech_of
from .probe import MediaProbe, probe
from .rules import DownloadRules
from .sandbox import DecoderLimits
from .scenes import Scene, find_scenes
from .sniff import FileType, sniff
from .speech import read_speech, read_track, write_track
from .thumbnail import write_thumbnail
from .tracks import Track, Waveform
from .video import VideoFrames, open_video
from .writer import VideoWriter

__all__ = [
    "BlockedAddressError",
    "CameraMotion",
    "DecoderError",
    "DecoderLimits",
    "DownloadError",
    "DownloadRules",
    "EncodeError",
    "Fetcher",
    "FileType",
    "FitPlan",
    "InvalidSourceError",
    "LocalFile",
    "MediaError",
    "MediaProbe",
    "MovingStill",
    "Pixels",
    "Samples",
    "Scene",
    "SpeechTooShortError",
    "TooLargeError",
    "Track",
    "UnreadableMediaError",
    "UnsupportedMediaError",
    "VideoFrames",
    "VideoWriter",
    "Waveform",
    "find_scenes",
    "loudness_gain",
    "mix_source",
    "mix_speeches",
    "normalise_loudness",
    "open_video",
    "plan_fit",
    "probe",
    "read_image",
    "read_mask",
    "read_speech",
    "read_track",
    "resample",
    "sniff",
    "speech_of",
    "write_thumbnail",
    "write_track",
]
