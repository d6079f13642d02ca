"""PNG keeps every visible pixel in the smallest colour type; JPEG and WebP look the same."""

from __future__ import annotations

import io
import struct
import zlib
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.io import MemoryFile

from tests.support.effort import examples
from tests.support.oracle import psnr
from tests.support.pictures import Cover, Kind, painted, pictures, table, visible
from tests.support.rasters import scene
from tiler.image.encode import FEW, blank_tile, encode
from tiler.image.style import Picture, Pixels, Values
from tiler.keys import CONTENT_TYPES, Format

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by PNG's colour type
MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}  # Pillow's, by PNG's colour type
LIKE = 30.0  # dB that a lossy picture must reach
HEAVIER = 1.25  # times the bytes of Pillow's PNG, which takes twenty times as long


def png(picture: Picture) -> bytes:
    """The PNG of a picture that is not empty."""
    data = encode(picture, "png")
    assert data is not None
    return data


def opened(data: bytes | None) -> Image.Image:
    """The picture as Pillow decodes it."""
    assert data is not None
    return Image.open(io.BytesIO(data))


def seen(data: bytes) -> Pixels:
    """The decoded pixels as RGBA, all zero where transparent."""
    decoded = np.array(opened(data).convert("RGBA"))
    decoded[decoded[..., 3] == 0] = 0
    return decoded


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG, each with the right checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + body), name
        found.append((name, body))
        at += 12 + length
    assert at == len(data)
    return found


def header(data: bytes) -> tuple[int, int]:
    """Bits a sample and colour type of a PNG."""
    return data[24], data[25]


@settings(max_examples=examples(300))
@given(pictures())
def test_png_keeps_every_visible_pixel(picture: Picture) -> None:
    wanted = visible(picture)
    data = encode(picture, "png")
    if data is None:
        assert not wanted[..., 3].any()
    else:
        assert wanted[..., 3].any()
        assert (seen(data) == wanted).all()


@settings(max_examples=examples(300))
@given(pictures())
@example(painted("rgb", (40, 40), 255, "binary", 1))
@example(painted("rgb", (40, 40), 256, "binary", 1))  # with the hidden pixels 257 colours
@example(painted("palette", (40, 40), 256, "binary", 2))
def test_png_is_the_smallest_kind_that_holds_the_picture(picture: Picture) -> None:
    wanted = visible(picture)
    if not wanted[..., 3].any():
        return
    opaque = bool((wanted[..., 3] == 255).all())
    colours = len(np.unique(wanted.reshape(-1, 4), axis=0))
    bits, kind = header(png(picture))
    if picture.palette is None and picture.pixels.shape[-1] == 1:
        assert (bits, kind) == (8, 0 if opaque else 4)
    elif colours <= (256 if picture.palette is not None else FEW):
        assert (bits, kind) == (next(bits for bits in (1, 2, 4, 8) if colours <= 2**bits), 3)
    else:
        assert (bits, kind) == (8, 2 if opaque else 6)
    assert opened(png(picture)).mode in (MODES[kind], "1" if bits == 1 else MODES[kind])


@pytest.mark.parametrize("colours", [1, 2, 3, 4, 5, 16, 17, 255, 256, 257])
@pytest.mark.parametrize("kind", ["rgb", "palette"])
def test_the_number_of_colours_sets_the_depth(kind: Kind, colours: int) -> None:
    data = png(painted(kind, (50, 61), colours, "opaque", seed=4))
    depths = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 16: 4}
    many = kind == "rgb" and colours > FEW
    assert header(data) == (8 if many else depths.get(colours, 8), 2 if many else 3)
    assert opened(data).mode == ("RGB" if many else "P")
    assert b"tRNS" not in dict(chunks(data))


def test_a_palette_in_full_use_keeps_its_pixels_beside_hidden_ones() -> None:
    indexes = np.arange(512, dtype=np.uint16).reshape(16, 32, 1).astype(np.uint8)
    mask = np.where(np.arange(512).reshape(16, 32) < 256, 255, 0).astype(np.uint8)
    picture = Picture(indexes, mask, table(256, seed=5))
    assert (seen(png(picture)) == visible(picture)).all()
    assert opened(png(picture)).mode == "RGBA"  # 256 colours and the hidden one are one too many


@pytest.mark.parametrize("cover", ["opaque", "binary"])
def test_colours_that_no_table_tells_apart_are_searched_for(cover: Cover, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = painted("rgb", (50, 61), 255, cover, seed=2)
    usual = png(picture)
    monkeypatch.setattr("tiler.image.encode.FACTORS", [])
    assert png(picture) == usual


def test_only_the_entries_in_use_are_stored() -> None:
    indexes = np.array([[200, 255], [255, 7]], np.uint8)[..., np.newaxis]
    colours = table(256, seed=6)
    assert dict(chunks(png(Picture(indexes, None, colours))))[b"PLTE"] == colours[[7, 200, 255], :3].tobytes()


@pytest.mark.parametrize("form", get_args(Format))
@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_is_wholly_transparent_is_no_file(kind: Kind, form: Format) -> None:
    assert encode(painted(kind, (20, 30), 9, "hidden", seed=1), form) is None


@pytest.mark.parametrize("form", get_args(Format))
def test_a_palette_with_nothing_but_clear_entries_is_no_file(form: Format) -> None:
    colours = table(9, seed=1)
    colours[:, 3] = 0
    picture = painted("palette", (20, 30), 9, "opaque", seed=1)
    assert encode(Picture(picture.pixels, None, colours), form) is None


@given(pictures(), st.sampled_from(get_args(Format)), st.integers(1, 64))
def test_one_picture_is_always_the_same_bytes(picture: Picture, form: Format, wider: int) -> None:
    def set_in(pixels: Pixels) -> Pixels:
        """`pixels` as a view into something larger, stored band by band."""
        height, width, channels = pixels.shape
        around = np.full((channels, height + wider, width + wider), 99, np.uint8)
        view = np.moveaxis(around, 0, -1)[wider:, wider:]
        view[:] = pixels
        return view

    mask = None if picture.mask is None else set_in(picture.mask[..., np.newaxis])[..., 0]
    first = encode(picture, form)
    assert encode(picture, form) == first
    assert encode(Picture(set_in(picture.pixels), mask, picture.palette), form) == first


def test_encoding_leaves_the_picture_alone() -> None:
    for kind in get_args(Kind):
        for cover in get_args(Cover):
            for form in get_args(Format):
                picture, same = (painted(kind, (20, 30), 300, cover, seed=3) for _ in range(2))
                encode(picture, form)
                assert (picture.pixels == same.pixels).all()
                assert picture.mask is None or (picture.mask == same.mask).all()


@pytest.mark.parametrize("cover", ["opaque", "binary", "graded"])
@pytest.mark.parametrize("colours", [2, 5, 200, 257])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_gdal_reads_the_same_png(kind: Kind, colours: int, cover: Cover) -> None:
    picture = painted(kind, (37, 53), colours, cover, seed=8 + colours)  # odd: a palette with clear entries
    with MemoryFile(png(picture)) as file, file.open(driver="PNG") as dataset:
        bands = np.moveaxis(dataset.read(), 0, -1)
        if header(png(picture))[1] == 3:
            entries = dataset.colormap(1)
            bands = np.array([entries[index] for index in bands.ravel().tolist()], np.uint8).reshape(37, 53, 4)
    colour, alpha = (bands, None) if bands.shape[-1] in (1, 3) else (bands[..., :-1], bands[..., -1])
    assert (visible(Picture(colour, alpha)) == visible(picture)).all()


@given(pictures())
def test_every_chunk_is_whole(picture: Picture) -> None:
    data = encode(picture, "png")
    if data is None:
        return
    found = chunks(data)
    names = [name for name, _ in found]
    assert names == [name for name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND") if name in names]
    height, width = picture.pixels.shape[:2]
    bits, kind = header(data)
    assert struct.unpack_from(">II", dict(found)[b"IHDR"]) == (width, height)
    assert len(zlib.decompress(dict(found)[b"IDAT"])) == height * (1 + -(-width * bits * CHANNELS[kind] // 8))


@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize("form", get_args(Format))
def test_the_blank_tile_shows_nothing(form: Format, size: int) -> None:
    image = opened(blank_tile(size, form))
    assert image.size == (size, size)
    assert Image.MIME[str(image.format)] == CONTENT_TYPES[form]
    if form == "jpg":
        assert (np.asarray(image.convert("RGB")) == 255).all()
    else:
        assert not np.asarray(image.convert("RGBA"))[..., 3].any()
    assert len(blank_tile(size, form)) < 8000  # of which there may be many


@pytest.mark.parametrize("form", get_args(Format))
def test_the_blank_tile_is_always_the_same_bytes(form: Format) -> None:
    first = blank_tile(256, form)
    blank_tile.cache_clear()
    assert blank_tile(256, form) == first
    assert blank_tile(512, form) != first


def rgb(values: Values) -> Picture:
    """A picture of the three bands of a scene."""
    return Picture(np.ascontiguousarray(np.moveaxis(values, 0, -1)))


def smooth() -> Picture:
    """Slopes without grain."""
    rows, columns = np.mgrid[0:256, 0:256]
    bands = [128 + 60 * np.sin(columns / (23 + 9 * band)) + 45 * np.cos(rows / (31 - 5 * band)) for band in range(3)]
    return rgb(np.array(bands).astype(np.uint8))


@pytest.mark.parametrize("picture", [smooth(), rgb(scene(256, 256))], ids=["slopes", "slopes with grain"])
def test_png_is_little_larger_than_pillows(picture: Picture) -> None:
    out = io.BytesIO()
    Image.fromarray(picture.pixels).save(out, "PNG")
    assert len(png(picture)) <= HEAVIER * len(out.getvalue())


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_hardly_larger_than_its_pixels(channels: int) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (256, 256, channels)).astype(np.uint8)
    assert len(png(Picture(noise))) <= noise.size * 1.001 + 256 + 200


def covered() -> tuple[Picture, Pixels]:
    """A scene whose western third is transparent and whose middle is half so, and its mask."""
    mask = np.full((256, 300), 255, np.uint8)
    mask[:, :100], mask[:, 100:200] = 0, 128
    return Picture(rgb(scene(256, 300)).pixels, mask), mask


@pytest.mark.parametrize("form", ["jpg", "webp"])
@pytest.mark.parametrize("kind", ["rgb", "grey", "palette"])
def test_lossy_forms_keep_the_look(kind: Kind, form: Format) -> None:
    picture = rgb(scene(256, 300, bands=1 if kind != "rgb" else 3))
    if kind == "palette":
        ramp = np.arange(256, dtype=np.uint8)
        picture = Picture(picture.pixels, None, np.stack((ramp, ramp[::-1], ramp // 2, ramp * 0 + 255), axis=-1))
    image = opened(encode(picture, form))
    assert image.size == (300, 256)
    assert image.mode == ("L" if kind == "grey" and form == "jpg" else "RGB")
    assert Image.MIME[str(image.format)] == CONTENT_TYPES[form]
    assert psnr(np.asarray(image.convert("RGB")), visible(picture)[..., :3]) > LIKE


@pytest.mark.parametrize("kind", ["rgb", "grey"])
def test_jpeg_lays_the_picture_on_white(kind: Kind) -> None:
    picture, mask = covered()
    if kind == "grey":
        picture = Picture(picture.pixels[..., :1], mask)
    image = opened(encode(picture, "jpg"))
    assert image.mode == ("L" if kind == "grey" else "RGB")
    shown = np.asarray(image.convert("RGB"))
    assert (shown[:, :96] >= 250).all()  # up to the 8 pixels of a block that the edge runs through
    share = mask[..., np.newaxis] / 255
    assert psnr(shown, np.broadcast_to(picture.pixels * share + 255 * (1 - share), shown.shape)) > LIKE


@pytest.mark.parametrize("kind", ["rgb", "grey"])
def test_webp_keeps_transparency(kind: Kind) -> None:
    picture, mask = covered()
    if kind == "grey":
        picture = Picture(picture.pixels[..., :1], mask)
    image = opened(encode(picture, "webp"))
    shown = np.asarray(image)
    assert image.mode == "RGBA"
    assert (shown[..., 3] == mask).all()
    assert psnr(shown[:, 100:, :3], visible(picture)[:, 100:, :3]) > LIKE


def test_png_has_its_content_type() -> None:
    assert Image.MIME[str(opened(png(smooth())).format)] == CONTENT_TYPES["png"]
