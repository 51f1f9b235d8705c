"""Pictures come out upright, RGB and within limits."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from itk_media import (
    DecoderLimits,
    TooLargeError,
    UnreadableMediaError,
    UnsupportedMediaError,
    probe,
    read_image,
    read_mask,
)

UPRIGHT = np.zeros((40, 56, 3), np.uint8)
UPRIGHT[:20, :28] = (250, 20, 20)
UPRIGHT[:20, 28:] = (20, 250, 20)
UPRIGHT[20:, :28] = (20, 20, 250)

STORED = {
    1: lambda u: u,
    2: lambda u: u[:, ::-1],
    3: lambda u: u[::-1, ::-1],
    4: lambda u: u[::-1],
    5: lambda u: u.swapaxes(0, 1),
    6: lambda u: np.rot90(u, 1),
    7: lambda u: u[::-1, ::-1].swapaxes(0, 1),
    8: lambda u: np.rot90(u, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_put_upright(tmp_path, orientation):
    """A phone's picture looks the same whichever way the phone was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))
    path = tmp_path / "p.png"
    stored.save(path, exif=exif)
    assert np.array_equal(read_image(path), UPRIGHT)
    if orientation in {1, 6}:
        assert (probe(path).width, probe(path).height) == (56, 40)


def test_transparency_shows_white(tmp_path):
    """What is transparent becomes white, what is opaque keeps its colour."""
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4] = (200, 10, 30, 255)
    Image.fromarray(rgba).save(tmp_path / "p.png")
    pixels = read_image(tmp_path / "p.png")
    assert pixels[0, 0].tolist() == [200, 10, 30]
    assert pixels[7, 7].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("mode", "name", "colour", "expected"),
    [
        ("L", "p.png", 77, (77, 77, 77)),
        ("1", "p.png", 1, (255, 255, 255)),
        ("LA", "p.png", (77, 255), (77, 77, 77)),
        ("CMYK", "p.tif", (0, 255, 255, 0), (255, 0, 0)),
        ("RGB", "p.bmp", (1, 2, 3), (1, 2, 3)),
        ("RGB", "p.webp", (128, 128, 128), (128, 128, 128)),
        ("RGB", "p.avif", (128, 128, 128), (128, 128, 128)),
    ],
    ids=["grey", "bits", "grey-alpha", "cmyk", "bmp", "webp", "avif"],
)
def test_every_pixel_type_becomes_rgb(tmp_path, mode, name, colour, expected):
    """Grey, bitmap, CMYK and modern formats all become 8-bit RGB."""
    Image.new(mode, (16, 12), colour).save(tmp_path / name)
    pixels = read_image(tmp_path / name)
    assert pixels.shape == (12, 16, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[5, 5].astype(int) - expected).max() <= 1


def test_a_palette_with_transparency_is_composited(tmp_path):
    """A GIF's transparent colour shows white."""
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(1, (4, 0, 8, 8))
    picture.save(tmp_path / "p.gif", transparency=0)
    pixels = read_image(tmp_path / "p.gif")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 7].tolist() == [200, 100, 50]


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    """A 16-bit grey picture keeps its brightness."""
    values = np.array([[0, 257 * 100, 65535]], np.uint16).repeat(4, axis=0)
    Image.fromarray(values).save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png")[0, :, 0].tolist() == [0, 100, 255]


def test_an_animation_gives_its_first_frame(tmp_path):
    """Ten frames cost no more than one."""
    frames = [Image.new("RGB", (8, 8), (k * 20, 0, 0)) for k in range(1, 11)]
    for name in ("p.gif", "p.webp", "p.png"):
        options = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert read_image(tmp_path / name)[0, 0].tolist() == [20, 0, 0]


def test_a_bomb_is_refused_by_its_header(tmp_path):
    """A small file that claims 900 megapixels is not decoded."""
    (tmp_path / "p.png").write_bytes(png_that_claims(30000, 30000))
    with pytest.raises(TooLargeError, match="40000000 pixels") as caught:
        read_image(tmp_path / "p.png")
    assert caught.value.reason == "too_large"
    with pytest.raises(TooLargeError):
        probe(tmp_path / "p.png")


def test_a_picture_just_over_the_limit_is_refused(tmp_path):
    """Pillow alone would only warn between one and two times its limit."""
    (tmp_path / "p.png").write_bytes(png_that_claims(8000, 7000))
    with pytest.raises(TooLargeError):
        read_image(tmp_path / "p.png")
    Image.new("RGB", (30, 30)).save(tmp_path / "q.png")
    with pytest.raises(TooLargeError):
        read_image(tmp_path / "q.png", limits=DecoderLimits(max_pixels=899))


def test_a_truncated_picture_is_an_error_and_not_a_grey_half(tmp_path):
    """A picture that was cut short is named as damaged."""
    body = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(body, "JPEG")
    (tmp_path / "p.jpg").write_bytes(body.getvalue()[: len(body.getvalue()) // 2])
    with pytest.raises(UnreadableMediaError, match="damaged or cut short") as caught:
        read_image(tmp_path / "p.jpg")
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize(
    "body",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"8BPS\x00\x01" + bytes(64),
        b"",
    ],
    ids=["eps", "svg", "pdf", "psd", "empty"],
)
def test_documents_are_not_pictures(tmp_path, body):
    """Formats whose readers are programs in themselves are not opened."""
    (tmp_path / "p.png").write_bytes(body)
    with pytest.raises(UnsupportedMediaError, match="not a picture of an accepted format"):
        read_image(tmp_path / "p.png")


def test_a_mask_is_true_where_it_is_bright_and_opaque(tmp_path):
    """A mask may be drawn white on black or painted on nothing."""
    rgba = np.zeros((6, 6, 4), np.uint8)
    rgba[:3] = (255, 255, 255, 255)
    rgba[3:] = (255, 255, 255, 0)
    Image.fromarray(rgba).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    assert mask.dtype == np.bool_
    assert mask[:3].all()
    assert not mask[3:].any()


def test_a_wide_gamut_picture_is_brought_to_srgb(tmp_path):
    """An embedded profile other than sRGB is applied; sRGB's own changes nothing."""
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.new("RGB", (4, 4), (10, 200, 30)).save(tmp_path / "s.png", icc_profile=srgb)
    assert read_image(tmp_path / "s.png")[0, 0].tolist() == [10, 200, 30]
    Image.new("RGB", (4, 4), (10, 200, 30)).save(tmp_path / "x.png", icc_profile=lab_like)
    assert read_image(tmp_path / "x.png").shape == (4, 4, 3)


def test_the_sample_portraits_read_as_they_are(samples):
    """The real pictures come out pixel for pixel."""
    path = samples / "multi" / "ref_img.png"
    assert np.array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


def png_that_claims(width: int, height: int) -> bytes:
    """Build a PNG of black bits whose header promises any size."""

    def part(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", b"") + part(b"IEND", b"")
