"""How big a job and its files may be, and which kinds of file are known."""

MIB = 1024 * 1024

MAX_PICTURE_BYTES = 200 * MIB
"""A portrait or a dub, decoded."""
MAX_SPEECH_BYTES = 50 * MIB
"""One speaker's audio, decoded."""
MAX_MASK_BYTES = 20 * MIB
"""One speaker's mask, decoded."""

MAX_REQUEST_BYTES = 10 * MIB
"""A whole request to /run; Runpod refuses more."""
MAX_INLINE_MEDIA_BYTES = 7 * MIB
"""All files of a request together, before base64 adds a third."""
MAX_INLINE_RESULT_BYTES = 7 * MIB
"""A video returned as a data: URI; Runpod drops results over 10 MB without a word."""
MAX_JSON_BYTES = 400 * MIB
"""JSON text that the parser looks at."""

MAX_BATCH_ITEMS = 256
MAX_LORAS = 8
MAX_PROMPT_CHARACTERS = 5000
MAX_TTS_CHARACTERS = 20_000
MAX_URL_CHARACTERS = 8192
MAX_KEY_BYTES = 1024
"""A whole object key; S3 allows no more."""
MAX_PREFIX_CHARACTERS = 512
MAX_PICTURE_SIDE_PIXELS = 16_384

MIN_SPEECH_SECONDS = 0.4
"""Shorter speech has no integrated loudness (ITU-R BS.1770 measures blocks of 400 ms)."""
MAX_SPEECH_SECONDS = 24 * 3600
MAX_DEADLINE_SECONDS = 7 * 24 * 3600
"""Runpod lets no job run longer."""

IMAGE_TYPES: dict[str, tuple[str, ...]] = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/bmp": (".bmp",),
    "image/gif": (".gif",),
    "image/tiff": (".tif", ".tiff"),
    "image/avif": (".avif",),
}
VIDEO_TYPES: dict[str, tuple[str, ...]] = {
    "video/mp4": (".mp4", ".m4v"),
    "video/quicktime": (".mov",),
    "video/webm": (".webm",),
    "video/x-matroska": (".mkv",),
    "video/x-msvideo": (".avi",),
}
SPEECH_TYPES: dict[str, tuple[str, ...]] = {
    "audio/wav": (".wav",),
    "audio/mpeg": (".mp3",),
    "audio/flac": (".flac",),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "audio/mp4": (".m4a",),
    "audio/aac": (".aac",),
}
MEDIA_TYPES: dict[str, tuple[str, ...]] = {**IMAGE_TYPES, **VIDEO_TYPES, **SPEECH_TYPES}
"""MIME type to file name extensions, the usual one first."""


def extensions(types: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return every extension of a table of MIME types, in its order."""
    return tuple(extension for group in types.values() for extension in group)


def inline_length(size_bytes: int) -> int:
    """Return how many characters so many bytes may need inside a job.

    That is base64 (4 characters for 3 bytes) in lines of 76, after the head of a data: URI.
    """
    base64 = (size_bytes + 2) // 3 * 4
    return base64 + base64 // 76 * 2 + 256
