"""A fast, weight-compatible InfiniteTalk engine."""

from .config import CheckpointFiles, EngineConfig, Lora
from .engine import Engine
from .errors import (
    EngineError,
    InvalidRequestError,
    LostFollowerError,
    MissingSynthesiserError,
    MissingWeightsError,
    NotFiniteError,
    OutOfMemoryError,
    SpeechTooShortError,
    UnsupportedFeatureError,
    WeightsMismatchError,
    WeightsUnreadableError,
)
from .preparation import Prepared
from .request import (
    ChunkTimings,
    GenerationProgress,
    GenerationRequest,
    MovingPicture,
    Picture,
    StillPicture,
    VideoChunk,
)

__all__ = [
    "CheckpointFiles",
    "ChunkTimings",
    "Engine",
    "EngineConfig",
    "EngineError",
    "GenerationProgress",
    "GenerationRequest",
    "InvalidRequestError",
    "Lora",
    "LostFollowerError",
    "MissingSynthesiserError",
    "MissingWeightsError",
    "MovingPicture",
    "NotFiniteError",
    "OutOfMemoryError",
    "Picture",
    "Prepared",
    "SpeechTooShortError",
    "StillPicture",
    "UnsupportedFeatureError",
    "VideoChunk",
    "WeightsMismatchError",
    "WeightsUnreadableError",
]
