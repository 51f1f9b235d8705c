"""What a file really is, by its first bytes."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

HEAD_BYTES = 1024
"""How many leading bytes ``sniff`` wants to see."""

Family = Literal["image", "video", "audio", "container"]


@frozen
class FileType:
    """A recognised file type; ``container`` means video or only sound, a probe tells which."""

    mime: str
    family: Family
    extension: str


PNG = FileType("image/png", "image", ".png")
JPEG = FileType("image/jpeg", "image", ".jpg")
GIF = FileType("image/gif", "image", ".gif")
WEBP = FileType("image/webp", "image", ".webp")
BMP = FileType("image/bmp", "image", ".bmp")
TIFF = FileType("image/tiff", "image", ".tif")
AVIF = FileType("image/avif", "image", ".avif")
WAV = FileType("audio/wav", "audio", ".wav")
FLAC = FileType("audio/flac", "audio", ".flac")
MP3 = FileType("audio/mpeg", "audio", ".mp3")
AAC = FileType("audio/aac", "audio", ".aac")
AIFF = FileType("audio/aiff", "audio", ".aiff")
AMR = FileType("audio/amr", "audio", ".amr")
OGG = FileType("audio/ogg", "container", ".ogg")
MP4 = FileType("video/mp4", "container", ".mp4")
M4A = FileType("audio/mp4", "audio", ".m4a")
QUICKTIME = FileType("video/quicktime", "container", ".mov")
MATROSKA = FileType("video/x-matroska", "container", ".mkv")
WEBM = FileType("video/webm", "container", ".webm")
AVI = FileType("video/x-msvideo", "container", ".avi")
FLV = FileType("video/x-flv", "container", ".flv")
ASF = FileType("video/x-ms-wmv", "container", ".wmv")
MPEG_TS = FileType("video/mp2t", "container", ".ts")
MPEG_PS = FileType("video/mpeg", "container", ".mpg")

_STARTS: tuple[tuple[bytes, FileType], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"fLaC", FLAC),
    (b"ID3", MP3),
    (b"OggS", OGG),
    (b"#!AMR", AMR),
    (b"FLV\x01", FLV),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ASF),
    (b"\x00\x00\x01\xba", MPEG_PS),
    (b"\x00\x00\x01\xb3", MPEG_PS),
)
_RIFF = {b"WAVE": WAV, b"AVI ": AVI, b"WEBP": WEBP}
_FTYP = {b"avif": AVIF, b"avis": AVIF, b"qt  ": QUICKTIME, b"M4A ": M4A, b"M4B ": M4A}
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_OLD_QUICKTIME = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}


def sniff(head: bytes) -> FileType | None:
    """Return the type that the leading bytes show, or None when it is not one we accept.

    At least the first 12 bytes are needed; ``HEAD_BYTES`` of them settle every type.
    """
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[:4] in {b"RIFF", b"RF64"}:
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return AIFF
    if head[:4] == b"\x1aE\xdf\xa3":
        return WEBM if b"webm" in head[:64] else MATROSKA
    if head[4:8] == b"ftyp":
        return _from_brand(head)
    return _from_weak_signs(head)


def _from_brand(head: bytes) -> FileType | None:
    brand = head[8:12]
    if brand in _HEIF:
        brands = {head[at : at + 4] for at in range(16, min(len(head), head[3]), 4)}
        return AVIF if b"avif" in brands else None
    return _FTYP.get(brand, MP4)


def _from_weak_signs(head: bytes) -> FileType | None:
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00" and len(head) > 26:
        return BMP
    if head[4:8] in _OLD_QUICKTIME and head[:2] in {b"\x00\x00", b"\x00\x01"}:
        return QUICKTIME
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return MPEG_TS
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return _from_frame_header(head)
    return None


def _from_frame_header(head: bytes) -> FileType | None:
    """Tell MPEG audio from ADTS by the fields that a real frame header cannot hold."""
    layer = (head[1] >> 1) & 3
    if head[1] & 0xF6 == 0xF0:
        rate_index = (head[2] >> 2) & 15
        return AAC if rate_index < 13 else None
    version, bitrate, rate = (head[1] >> 3) & 3, head[2] >> 4, (head[2] >> 2) & 3
    valid = version != 1 and layer != 0 and bitrate not in {0, 15} and rate != 3
    return MP3 if valid else None
