"""What can be wrong with a file or an address, as exceptions that carry facts."""

import errno
from typing import ClassVar, Self

from attrs import Factory, define


@define
class MediaError(Exception):
    """A file, an address or an encoder did not do what was needed.

    Attributes:
        message: one sentence for a person.
        reason: a short word for programs (``too_large``, ``blocked_address``, ...).
        retryable: True when the same request may succeed later.
    """

    usual_reason: ClassVar[str] = "media"
    usually_retryable: ClassVar[bool] = False

    message: str
    reason: str = Factory(lambda self: self.usual_reason, takes_self=True)
    retryable: bool = Factory(lambda self: self.usually_retryable, takes_self=True)

    def __str__(self) -> str:
        return self.message


@define
class UnsupportedMediaError(MediaError):
    """A file is of a type that is not accepted."""

    usual_reason: ClassVar[str] = "unsupported_media"


@define
class TooLargeError(MediaError):
    """A file has more bytes, pixels, frames or seconds than allowed."""

    usual_reason: ClassVar[str] = "too_large"


@define
class UnreadableMediaError(MediaError):
    """A file of an accepted type cannot be decoded."""

    usual_reason: ClassVar[str] = "unreadable"

    log_tail: str = ""


@define
class DecoderError(UnreadableMediaError):
    """The decoding process crashed, hung or ran out of memory on a file."""

    usual_reason: ClassVar[str] = "decoder_crashed"


@define
class SpeechTooShortError(MediaError):
    """Speech is shorter than the 0.4 s that one loudness block takes."""

    usual_reason: ClassVar[str] = "too_short"


@define
class InvalidSourceError(MediaError):
    """A media string is not a usable data: URI, address, base64 text or path."""

    usual_reason: ClassVar[str] = "invalid_source"


@define
class BlockedAddressError(MediaError):
    """An address leads somewhere that a caller may not reach through us."""

    usual_reason: ClassVar[str] = "blocked_address"


@define
class DownloadError(MediaError):
    """A file did not arrive whole."""

    usual_reason: ClassVar[str] = "download_failed"
    usually_retryable: ClassVar[bool] = True


@define
class EncodeError(MediaError):
    """A video, picture or speech file could not be written."""

    usual_reason: ClassVar[str] = "encode_failed"

    @classmethod
    def from_os(cls, error: OSError, what: str) -> Self:
        """Tell a full disk from other trouble while writing ``what``."""
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return cls(f"there is no space left to write {what}", "no_space")
        return cls(f"{what} could not be written: {error.strerror or error}")
