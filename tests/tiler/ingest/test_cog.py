"""COGs written block by block: GDAL reads every pixel back, and the layout is valid."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from tests.support.effort import examples
from tiler.grid import TILE
from tiler.image.style import Pixels, Values
from tiler.ingest.cog import Blocks, Level, Profile, Spool, assemble, compress_mask, compress_values

ORIGIN, PIXEL = (626172.1357121639, 6261721.357121639), 9.554628535647032  # a tile's corner at z14
PALETTE = tuple((entry * 7 % 256, 255 - entry, entry, 255) for entry in range(200))
PROFILES = {
    "rgb": Profile("uint8", 3),
    "palette": Profile("uint8", 1, PALETTE),
    "grey": Profile("uint8", 1),
    "uint16": Profile("uint16", 1),
    "int16": Profile("int16", 3),
    "int32": Profile("int32", 1),
    "float32": Profile("float32", 1),
    "float32 x3": Profile("float32", 3),
    "float64": Profile("float64", 1),
}
SHAPES = ((5, 4), (3, 2), (2, 1))  # rows and columns of blocks a level


@dataclass(frozen=True)
class Made:
    """A COG and its contents, level by level."""

    path: Path
    values: list[Values]  # (bands, height, width)
    masks: list[Pixels]  # (height, width)


def noise(profile: Profile, random: np.random.Generator) -> Values:
    """A block that uses the whole range of the dtype."""
    kind, shape = np.dtype(profile.dtype), (profile.bands, TILE, TILE)
    if kind.kind == "f":
        return (random.standard_normal(shape) * 10.0 ** random.integers(-30, 30, shape)).astype(kind)
    return random.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind, endpoint=True)


def write(
    folder: Path,
    profile: Profile,
    *,
    masked: bool = True,
    share: float = 0.7,
    seed: int = 1,
    shapes: tuple[tuple[int, int], ...] = SHAPES,
) -> Made:
    """A COG of random blocks, of which `share` are there; the sizes of two levels are no multiples of a block."""
    random = np.random.default_rng(seed)
    spools = [Spool(folder), Spool(folder)]
    made = Made(folder / f"{seed}.tif", [], [])
    levels = []
    base = (shapes[0][0] * TILE, shapes[0][1] * TILE)
    for number, (rows, columns) in enumerate(shapes):
        height, width = base[0] >> number, base[1] >> number
        level = Level(width, height, Blocks(rows, columns), Blocks(rows, columns) if masked else None)
        values = np.zeros((profile.bands, rows * TILE, columns * TILE), profile.dtype)
        mask = np.zeros((rows * TILE, columns * TILE), np.uint8)
        for row, column in np.ndindex(rows, columns):
            if random.random() > share:
                continue
            part = (slice(row * TILE, (row + 1) * TILE), slice(column * TILE, (column + 1) * TILE))
            values[(slice(None), *part)] = block = noise(profile, random)
            mask[part] = cover = random.choice([0, 1, 128, 254, 255], (TILE, TILE)).astype(np.uint8)
            which = int(random.integers(2))
            level.values.set(row, column, which, spools[which].add(compress_values(block, profile)))
            if level.mask:
                level.mask.set(row, column, which, spools[which].add(compress_mask(cover)))
            if random.random() < 0.3:
                spools[which].flush()
        levels.append(level)
        made.values.append(values[:, :height, :width])
        made.masks.append(mask[:height, :width])
    for spool in spools:
        spool.flush()
    assemble(made.path, levels, profile, origin=ORIGIN, pixel=PIXEL, spools=[spool.path for spool in spools])
    return made


@dataclass(frozen=True)
class Directory:
    """What a test needs of an image directory."""

    start: int
    end: int  # behind its last value
    tags: dict[int, tuple[int, ...]]

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Offset and size of each block."""
        return list(zip(self.tags[324], self.tags[325], strict=True))


def directories(data: bytes) -> list[Directory]:
    """The image directories of a BigTIFF, read by the letter of its design."""
    order, version, width, zero, at = struct.unpack_from("<2sHHHQ", data)
    assert (order, version, width, zero) == (b"II", 43, 8, 0)
    found = []
    while at:
        (count,) = struct.unpack_from("<Q", data, at)
        end = at + 16 + 20 * count
        said: dict[int, tuple[int, ...]] = {}
        for entry in range(at + 8, at + 8 + 20 * count, 20):
            tag, kind, length = struct.unpack_from("<HHQ", data, entry)
            form = f"<{length}{ {3: 'H', 4: 'I', 12: 'd', 16: 'Q'}[kind] }"
            place = entry + 12
            if struct.calcsize(form) > 8:
                (place,) = struct.unpack_from("<Q", data, place)
                end = max(end, place + struct.calcsize(form))
            said[tag] = struct.unpack_from(form, data, place)
        assert list(said) == sorted(said)
        found.append(Directory(at, end, said))
        (at,) = struct.unpack_from("<Q", data, at + 8 + 20 * count)
    return found


def read(path: Path, level: int) -> tuple[Values, Pixels]:
    """All pixels of a level (0: the base) and their mask, by GDAL."""
    with rasterio.open(path, **({"OVERVIEW_LEVEL": level - 1} if level else {})) as dataset:
        return dataset.read(), dataset.read_masks(1)


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "opaque"])
@pytest.mark.parametrize("name", PROFILES)
def test_gdal_reads_back_every_pixel_of_every_level(name: str, tmp_path: Path, *, masked: bool) -> None:
    made = write(tmp_path, PROFILES[name], masked=masked)
    for level, (values, mask) in enumerate(zip(made.values, made.masks, strict=True)):
        got, cover = read(made.path, level)
        assert got.dtype == values.dtype
        assert (got == values).all()
        assert (cover == (mask if masked else 255)).all()


def test_what_was_left_out_reads_as_nothing(tmp_path: Path) -> None:
    made = write(tmp_path, PROFILES["rgb"], share=0)
    assert made.path.stat().st_size < 5000
    for level in range(len(SHAPES)):
        values, mask = read(made.path, level)
        assert not values.any()
        assert not mask.any()


def test_floats_keep_what_is_not_a_number(tmp_path: Path) -> None:
    block = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    block = np.resize(block, (1, TILE, TILE))
    spool, level = Spool(tmp_path), Level(TILE, TILE, Blocks(1, 1), None)
    level.values.set(0, 0, 0, spool.add(compress_values(block, PROFILES["float32"])))
    spool.flush()
    path = tmp_path / "made.tif"
    assemble(path, [level], PROFILES["float32"], origin=ORIGIN, pixel=PIXEL, spools=[spool.path])
    assert read(path, 0)[0].tobytes() == block.tobytes()


@pytest.mark.parametrize("name", ["rgb", "int16", "float32"])
def test_a_block_in_another_memory_layout_is_the_same_bytes(name: str) -> None:
    block = noise(PROFILES[name], np.random.default_rng(1))
    by_pixel = np.moveaxis(np.ascontiguousarray(np.moveaxis(block, 0, -1)), -1, 0)
    assert not by_pixel.flags.c_contiguous or block.shape[0] == 1
    assert compress_values(by_pixel, PROFILES[name]) == compress_values(block, PROFILES[name])
    cover = block[0].view(np.uint8)[:TILE, :TILE]
    assert compress_mask(np.asfortranarray(cover)) == compress_mask(cover)


@pytest.mark.parametrize("name", PROFILES)
def test_gdal_knows_where_it_lies_and_what_it_shows(name: str, tmp_path: Path) -> None:
    profile = PROFILES[name]
    with rasterio.open(write(tmp_path, profile).path) as dataset:
        assert dataset.crs.to_epsg() == 3857
        assert dataset.transform.to_gdal() == (ORIGIN[0], PIXEL, 0, ORIGIN[1], 0, -PIXEL)
        assert (dataset.width, dataset.height) == (SHAPES[0][1] * TILE, SHAPES[0][0] * TILE)
        assert [dataset.overviews(band) for band in dataset.indexes] == [[2, 4]] * profile.bands
        assert dataset.block_shapes == [(TILE, TILE)] * profile.bands
        assert set(dataset.dtypes) == {profile.dtype}
        assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "ZSTD"
        assert dataset.tags().get("AREA_OR_POINT") == "Area"
        assert dataset.mask_flag_enums == tuple([MaskFlags.per_dataset] for _ in dataset.indexes)
        one = ColorInterp.palette if profile.palette else ColorInterp.gray
        assert dataset.colorinterp == (
            (one,) if profile.bands == 1 else (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        )


def test_the_palette_is_the_colour_table(tmp_path: Path) -> None:
    path = write(tmp_path, PROFILES["palette"]).path
    reds = directories(path.read_bytes())[0].tags[320][: len(PALETTE)]
    assert reds == tuple(colour[0] * 257 for colour in PALETTE)  # 16 bits a sample: 65535 is full
    with rasterio.open(path) as dataset:
        table = dataset.colormap(1)
    assert tuple(table[entry] for entry in range(len(PALETTE))) == PALETTE
    assert {table[entry][:3] for entry in range(len(PALETTE), 256)} == {(0, 0, 0)}


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "opaque"])
@pytest.mark.parametrize("name", PROFILES)
def test_it_is_a_valid_cog(name: str, tmp_path: Path, *, masked: bool) -> None:
    assert cog_validate(write(tmp_path, PROFILES[name], masked=masked).path, strict=True, quiet=True) == (True, [], [])


@settings(max_examples=examples(12))
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    st.booleans(),
    st.sampled_from([SHAPES, ((1, 1),), ((2, 3), (1, 2))]),
)
def test_directories_come_first_and_blocks_fill_the_rest(
    tmp_path_factory: pytest.TempPathFactory, seed: int, share: float, masked: bool, shapes: tuple[tuple[int, int], ...]
) -> None:
    made = write(tmp_path_factory.mktemp("cog"), PROFILES["grey"], masked=masked, share=share, seed=seed, shapes=shapes)
    data = made.path.read_bytes()
    found = directories(data)
    reduced = [kind for _ in shapes[1:] for kind in ((1, 5) if masked else (1,))]
    kinds = [*((0, 4) if masked else (0,)), *reduced]
    assert [each.tags[254] for each in found] == [(kind,) for kind in kinds]
    assert [each.tags[262] for each in found] == [(4 if kind & 4 else 1,) for kind in kinds]  # a mask says so twice
    ends = [each.end for each in found]
    at = min((offset for each in found for offset, size in each.blocks if size), default=len(data))
    for start, end in zip([*(each.start for each in found), at], [16, *ends], strict=True):
        assert 0 <= start - end < 8  # nothing but padding between one directory and the next, and the data
    assert all(each.start % 2 == 0 for each in found)  # TIFF 6.0: on a word boundary
    images = 1 + masked
    for level in reversed([found[start : start + images] for start in range(0, len(found), images)]):
        for blocks in zip(*(each.blocks for each in level), strict=True):  # a block, and its mask behind it
            for offset, size in blocks:
                assert offset == (at if size else 0)
                at += size
    assert at == len(data)


def test_the_same_blocks_are_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    one, other = (write(folder, PROFILES["rgb"]).path.read_bytes() for folder in folders)
    assert one == other


def test_a_window_reads_the_blocks_it_touches(tmp_path: Path) -> None:
    made = write(tmp_path, PROFILES["int16"])
    with rasterio.open(made.path) as dataset:
        for column, row in ((0, 0), (200, 250), (700, 1000)):
            part = (slice(None), slice(row, row + 100), slice(column, column + 100))
            assert (dataset.read(window=Window(column, row, 100, 100)) == made.values[0][part]).all()
