"""Turns a picture file into upright RGB pixels."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from itk_media.errors import TooLargeError, UnreadableMediaError, UnsupportedMediaError

if TYPE_CHECKING:
    from typing import BinaryIO

    from itk_media.decoder.wire import Parent

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
WHITE = (255, 255, 255, 255)
BLACK = (0, 0, 0, 255)
_TURNED = {5, 6, 7, 8}
_ORIENTATION_TAG = 0x0112


def send_picture(file: BinaryIO, order: dict[str, Any], parent: Parent) -> None:
    """Send width and height, then the RGB bytes (or grey bytes when ``grey`` is ordered)."""
    grey = bool(order.get("grey"))
    picture = open_picture(file, int(order["max_pixels"]))
    upright = read_upright(picture, background=BLACK if grey else WHITE)
    if grey:
        upright = upright.convert("L")
    parent.facts({"width": upright.width, "height": upright.height})
    parent.data(upright.tobytes())


def open_picture(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open a picture of an accepted format by its header; nothing is decoded yet."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        picture = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        message = f"the file is not a picture of an accepted format ({', '.join(FORMATS)})"
        raise UnsupportedMediaError(message) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = f"the picture has more than the {max_pixels} pixels allowed"
        raise TooLargeError(message) from error
    except (OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise _damaged(error) from error
    return picture


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Return (width, height) as the picture is meant to be seen, without decoding it."""
    turned = picture.getexif().get(_ORIENTATION_TAG) in _TURNED
    return (picture.height, picture.width) if turned else (picture.width, picture.height)


def read_upright(picture: Image.Image, background: tuple[int, int, int, int]) -> Image.Image:
    """Decode the first frame to upright 8-bit RGB; transparency shows ``background``."""
    try:
        picture.load()
        return _to_rgb(ImageOps.exif_transpose(picture), background)
    except (OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> UnreadableMediaError:
    return UnreadableMediaError(f"the picture is damaged or cut short: {error}")


def _to_rgb(picture: Image.Image, background: tuple[int, int, int, int]) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return picture.point(lambda value: value * (1 / 257) + 0.5).convert("L").convert("RGB")
    if picture.mode in {"I", "F"}:
        message = f"pictures of mode {picture.mode} (32 bits a pixel) are not supported"
        raise UnsupportedMediaError(message)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba).convert("RGB")
    return _in_srgb(picture).convert("RGB")


def _in_srgb(picture: Image.Image) -> Image.Image:
    """Apply an embedded colour profile other than sRGB, as a viewer does."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in {"RGB", "CMYK"}:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
        converted = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return picture if converted is None else converted
