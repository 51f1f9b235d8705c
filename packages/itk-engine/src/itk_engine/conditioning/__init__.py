"""Everything that tells the transformer what to make: picture, speech, text, regions."""

from .clip import VisionConfig, VisionEncoder
from .picture import (
    BUCKETS,
    Placement,
    bucket_for,
    normalise,
    place,
    resize_and_crop,
    resize_masks,
)
from .prompt import (
    TEXT_TOKENS,
    PromptEncoder,
    Tokenize,
    clean_prompt,
    read_tokenizer,
)
from .speech import SpeechEncoder, windows
from .text import TextEncoder, TextEncoderConfig
from .wav2vec import SpeechConfig

__all__ = [
    "BUCKETS",
    "TEXT_TOKENS",
    "Placement",
    "PromptEncoder",
    "SpeechConfig",
    "SpeechEncoder",
    "TextEncoder",
    "TextEncoderConfig",
    "Tokenize",
    "VisionConfig",
    "VisionEncoder",
    "bucket_for",
    "clean_prompt",
    "normalise",
    "place",
    "read_tokenizer",
    "resize_and_crop",
    "resize_masks",
    "windows",
]
