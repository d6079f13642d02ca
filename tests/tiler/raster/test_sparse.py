"""Unwritten parts of a raster are found without reading them, and change no byte of a part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.windows
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from tests.support.baked import bytes_of_parts
from tests.support.layers import MakeLayer, silent
from tests.support.oracle import drawn, tiles_of
from tests.support.rasters import scene
from tests.support.site import memory
from tiler.errors import NoRoom
from tiler.image.style import PLAIN
from tiler.ingest import ground, mosaic
from tiler.ingest.disk_space import check_target
from tiler.ingest.ingest import ingest
from tiler.ingest.survey import survey
from tiler.raster import sample
from tiler.raster.datasets import forget, opened
from tiler.raster.options import Options
from tiler.raster.pixels import pixels, reading_of
from tiler.raster.reading import Reading
from tiler.raster.sample import extremes
from tiler.raster.sparse import Gaps, Regions, Share, bare, gaps_of
from tiler.storage.store import Stores

WIDE, HIGH = 3300, 2500  # pixels; some two by two chunks
SPOT = 700, 1900, 300, 400  # column, row, width and height of what is written of it
SPOTTED = 4000, 4350, 99, 99  # the same, where patches spread over 9000 x 9000 pixels find nothing
PLACE: dict[str, Any] = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500000, 0, -0.5, 5000000)}
BLOCKS: dict[str, Any] = {"tiled": True, "blockxsize": 256, "blockysize": 256, "SPARSE_OK": True}

KINDS: dict[str, dict[str, Any]] = {
    "nodata": {"nodata": 0},
    "alpha": {"count": 4, "photometric": "RGB", "alpha": "YES"},
    "bands apart": {"count": 3, "nodata": 0, "interleave": "band"},
    "strips": {"nodata": 0, "tiled": False, "blockysize": 16, "blockxsize": None},
    "floats": {"dtype": "float32", "nodata": float("nan")},
    "negative": {"dtype": "int16", "nodata": -9999},
    "mask": {"masked": True},
}


def write_sparse(path: Path, *, masked: bool = False, spot: tuple[int, int, int, int] = SPOT, **profile: Any) -> Path:
    """A raster of which only `spot` is written."""
    said = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "width": WIDE,
        "height": HIGH,
        **PLACE,
        **BLOCKS,
        **profile,
    }
    said = {key: value for key, value in said.items() if value is not None}
    column, row, width, height = spot
    window = rasterio.windows.Window(column, row, width, height)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **said) as out:
        out.write(scene(height, width, said["count"]).astype(said["dtype"]), window=window)
        if masked:
            out.write_mask(np.full((height, width), 255, np.uint8), window=window)
    return path


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def baked(path: Path, **options: Any) -> dict[str, bytes]:
    """The parts of a raster, baked into new stores."""
    stores = Stores(memory(), memory(), "http://tiles.test")
    layer = ingest(str(path), "layer", Options(**options), stores, jobs=1, progress=silent).layer
    return bytes_of_parts(layer, stores)


@pytest.fixture
def warps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was warped, and which chunks were baked, as it happens."""
    seen: list[str] = []

    def counted(name: str, owner: Any, attribute: str) -> None:
        plain = getattr(owner, attribute)

        def call(*args: Any) -> Any:
            seen.append(name)
            return plain(*args)

        monkeypatch.setattr(owner, attribute, call)

    counted("warp", ground, "warp")
    counted("chunk", mosaic.OneRaster, "warp")
    return seen


def in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bake without detecting empty parts."""
    monkeypatch.setattr(mosaic, "gaps_of", lambda *_: None)
    monkeypatch.setattr(ground, "bare", lambda *_: False)


def test_a_sparse_raster_bakes_to_the_same_bytes_as_if_all_of_it_were_warped(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sparse(tmp_path / "sparse.tif", **KINDS[kind])
    quickly = baked(path, resampling="bilinear")
    in_full(monkeypatch)
    assert quickly == baked(path, resampling="bilinear")


@pytest.mark.parametrize("kind", ["nodata", "alpha", "bands apart", "negative"], indirect=True)
def test_chunks_of_which_nothing_was_written_are_not_baked(kind: str, tmp_path: Path, warps: list[str]) -> None:
    baked(write_sparse(tmp_path / "sparse.tif", **KINDS[kind]))
    assert warps.count("chunk") <= 2


def test_a_chunk_that_holds_no_valid_pixel_is_not_warped(tmp_path: Path, warps: list[str]) -> None:
    path = write_sparse(tmp_path / "sparse.tif", nodata=0, SPARSE_OK=False)  # its blocks are there, and hold 0
    with rasterio.open(path) as made:
        assert made.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1)
    baked(path)
    assert warps.count("chunk") >= 4
    assert warps.count("warp") <= 9  # of 544 pixels, around the spot


@pytest.mark.parametrize("sparse", ["YES", "NO"])
def test_an_overview_that_is_baked_from_may_be_sparse_too(
    sparse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sparse(tmp_path / "sparse.tif", nodata=0, width=2 * WIDE, height=2 * HIGH)
    with rasterio.Env(SPARSE_OK_OVERVIEW=sparse), rasterio.open(path, "r+") as made:
        made.build_overviews([2, 4])
    zoom = survey(str(path), Options()).zoom
    overview = opened(str(path), 1)
    gaps = gaps_of(overview, reading_of(overview))
    assert (gaps is not None) == (sparse == "YES")
    if gaps is None:
        return
    quickly = baked(path, max_zoom=zoom - 1)
    in_full(monkeypatch)
    assert quickly == baked(path, max_zoom=zoom - 1)


def test_what_was_never_written_and_is_valid_is_shown(tmp_path: Path, make_layer: MakeLayer, stores: Stores) -> None:
    path = write_sparse(tmp_path / "sparse.tif", width=900, height=900, spot=(0, 0, 300, 300))
    layer = make_layer(path)
    z = layer.maxzoom
    tiles = tiles_of(layer, z)
    middle = tiles[len(tiles) // 2]
    assert drawn(layer, stores, middle)[128, 128].tolist() == [0, 0, 0, 255]


def vrt(path: Path, body: str, *, bands: str = "", size: tuple[int, int] = (WIDE, HIGH), kind: str = "") -> Path:
    """A VRT of one band made of `body`."""
    band = f'<VRTRasterBand dataType="Byte" band="1"{bands}><NoDataValue>0</NoDataValue>{body}</VRTRasterBand>'
    path.write_text(
        f'<VRTDataset rasterXSize="{size[0]}" rasterYSize="{size[1]}"{kind}><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>500000,.5,0,5000000,0,-.5</GeoTransform>{band}</VRTDataset>"
    )
    return path


def source(name: str, at: tuple[float, float] | None, *, tag: str = "SimpleSource") -> str:
    """A source of 300 x 400 pixels at `at`, or anywhere."""
    place = f'<DstRect xOff="{at[0]}" yOff="{at[1]}" xSize="300" ySize="400"/>' if at else ""
    return (
        f'<{tag}><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="300" ySize="400"/>{place}</{tag}>'
    )


@pytest.fixture
def member(tmp_path: Path) -> str:
    return write_sparse(tmp_path / "member.tif", width=300, height=400, spot=(0, 0, 300, 400)).name


def test_between_the_members_of_a_vrt_nothing_is_baked(
    tmp_path: Path, member: str, warps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = vrt(tmp_path / "mosaic.vrt", source(member, (650.5, 300)) + source(member, (680, 620), tag="ComplexSource"))
    quickly = baked(path, resampling="bilinear")
    assert warps.count("chunk") <= 2
    in_full(monkeypatch)
    assert quickly == baked(path, resampling="bilinear")


def test_a_cell_that_a_source_of_a_vrt_touches_is_written(tmp_path: Path, member: str) -> None:
    at = 2048 - 0.5, 1024.25
    dataset = opened(str(vrt(tmp_path / "mosaic.vrt", source(member, at))))
    gaps = gaps_of(dataset, reading_of(dataset))
    assert gaps is not None
    known = dataset.read(1) > 0
    rows, columns = np.nonzero(known)
    assert known.any()
    assert gaps.written[rows // gaps.height, columns // gaps.width].all()
    assert gaps.written.mean() < 0.1


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ((None, "SimpleSource"), {}),  # it fills the raster
        (((900.0, 900.0), "KernelFilteredSource"), {}),  # it reaches farther
        (((900.0, 900.0), "SimpleSource"), {"bands": ' subClass="VRTDerivedRasterBand"'}),
    ],
)
def test_a_vrt_that_makes_its_pixels_otherwise_has_no_gaps(
    body: tuple[tuple[float, float] | None, str], how: dict[str, Any], tmp_path: Path, member: str
) -> None:
    at, tag = body
    filter_ = '<Kernel normalized="1"><Size>3</Size><Coefs>1 1 1 1 1 1 1 1 1</Coefs></Kernel>'
    made = source(member, at, tag=tag)
    if tag == "KernelFilteredSource":
        made = made.replace(f"</{tag}>", f"{filter_}</{tag}>")
    if how:
        made = "<PixelFunctionType>sum</PixelFunctionType>" + made
    dataset = opened(str(vrt(tmp_path / "mosaic.vrt", made, **how)))
    assert gaps_of(dataset, reading_of(dataset)) is None


def test_a_block_that_one_band_has_is_written(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "sparse.tif", count=3, nodata=0, interleave="band", spot=(0, 0, 256, 256))
    with rasterio.open(path, "r+") as made:
        made.write(np.full((256, 256), 9, np.uint8), 2, window=rasterio.windows.Window(512, 256, 256, 256))
    forget()
    dataset = opened(str(path))
    gaps = gaps_of(dataset, reading_of(dataset))
    assert gaps is not None
    assert np.argwhere(gaps.written).tolist() == [[0, 0], [1, 2]]
    other = gaps_of(dataset, Reading((1,), nodata=(0,)))
    assert other is not None
    assert np.argwhere(other.written).tolist() == [[0, 0]]


@pytest.mark.parametrize(("nodata", "known"), [(0, True), (255, False), (7, False)])
def test_a_value_that_was_asked_for_decides_whether_gaps_are_valid(nodata: int, known: bool, tmp_path: Path) -> None:
    dataset = opened(str(write_sparse(tmp_path / "sparse.tif")))
    assert (gaps_of(dataset, reading_of(dataset, nodata=nodata)) is not None) == known


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_box_is_bare_where_no_pixel_of_it_is_valid(kind: str, tmp_path: Path) -> None:
    spot = (200, 300, 40, 50)
    path = write_sparse(tmp_path / "sparse.tif", width=600, height=600, spot=spot, **KINDS[kind])
    dataset = opened(str(path))
    reading = reading_of(dataset)
    valid = dataset.dataset_mask() > 0
    if kind == "alpha":
        valid = dataset.read(4) > 0
    assert valid.any()
    for left, top in np.ndindex(12, 12):
        box = (left * 60 - 60, top * 60 - 60, left * 60 + 30, top * 60 + 40)
        if box[2] > 0 and box[3] > 0 and box[0] < 600 and box[1] < 600:
            inside = valid[max(box[1], 0) : box[3], max(box[0], 0) : box[2]]
            assert bare(dataset, reading, box) == (not inside.any()), box


grids = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=9)
)


@given(grids, st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_share_is_what_the_pixels_of_a_box_say(
    cells: list[list[bool]], width: int, height: int, data: st.DataObject
) -> None:
    written = np.array(cells)
    pixels = written.repeat(height, axis=0).repeat(width, axis=1)
    left = data.draw(st.integers(-3, pixels.shape[1] - 1))
    top = data.draw(st.integers(-3, pixels.shape[0] - 1))
    right = data.draw(st.integers(max(left, 0) + 1, pixels.shape[1] + 3))
    bottom = data.draw(st.integers(max(top, 0) + 1, pixels.shape[0] + 3))
    some = pixels[max(top, 0) : bottom, max(left, 0) : right]
    share = Gaps(width, height, written).share((left, top, right, bottom))
    touched = written[max(top, 0) // height : -(-bottom // height), max(left, 0) // width : -(-right // width)]
    assert (share == "none") == (not some.any())
    assert (share == "all") == touched.all()


@given(grids, st.sampled_from([1, 2, 4, 16]))
def test_regions_find_each_bare_place_and_ask_for_a_square_once(cells: list[list[bool]], side: int) -> None:
    written = np.array(cells)
    asked: list[tuple[int, int, int]] = []

    def share(row: int, column: int, size: int) -> Share:
        asked.append((row, column, size))
        return Gaps(1, 1, written).share((column, row, column + size, row + size))

    regions = Regions(share, side)
    found = np.array([[regions.bare(*place) for place in row] for row in places(written.shape)])
    assert (found == ~written).all()
    assert regions.passed == found.sum()
    assert len(asked) == len(set(asked))
    if not written.any():
        assert len(asked) == -(-written.shape[0] // side) * -(-written.shape[1] // side)


def places(shape: tuple[int, ...]) -> Iterator[list[tuple[int, int]]]:
    """The places of a grid, row by row."""
    return ([(row, column) for column in range(shape[1])] for row in range(shape[0]))


def test_progress_ends_with_all_chunks_where_the_last_are_bare(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = write_sparse(tmp_path / "sparse.tif", nodata=0, spot=(10, 10, 50, 50))
    ingest(
        str(path), "layer", Options(), Stores(memory(), memory(), ""), jobs=1, progress=lambda *step: told.append(step)
    )
    assert told[-1][0] == told[-1][1] > len(told)
    assert told == sorted(told)


def test_values_are_found_where_a_sparse_raster_is_written(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "sparse.tif", dtype="int16", nodata=-9999, width=9000, height=9000, spot=SPOTTED)
    found = survey(str(path), Options())
    forget()
    dense = write_sparse(
        tmp_path / "dense.tif", dtype="int16", width=SPOTTED[2], height=SPOTTED[3], spot=(0, 0, 99, 99)
    )
    assert found.stretched
    assert found.differs == ("sampled",)
    ((low, high),) = found.style.rescale
    ((least, most),) = survey(str(dense), Options()).style.rescale
    assert (low, high) == pytest.approx((least, most), abs=3)


def test_a_raster_whose_values_were_seen_before_is_no_other(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "sparse.tif", dtype="int16", nodata=-9999)
    assert survey(str(path), Options()).differs == ()


def test_the_range_of_a_sparse_raster_is_looked_for_only_in_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sparse(tmp_path / "sparse.tif", dtype="int16", nodata=-9999, spot=(256, 256, 256, 256))
    dataset = opened(str(path))
    reading = reading_of(dataset)
    read: list[object] = []

    def counted(*args: Any, **how: Any) -> Any:
        read.append(how)
        return pixels(*args, **how)

    monkeypatch.setattr(sample, "pixels", counted)
    known = dataset.read(1)
    known = known[known != -9999]
    assert extremes(dataset, reading, PLAIN) == (known.min(), known.max())
    assert len(read) == 1


def test_a_bake_needs_room_only_for_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = 512
    path = write_sparse(tmp_path / "sparse.tif", nodata=0, width=20000, height=20000, spot=(0, 0, side, side))
    found = survey(str(path), Options())
    for free, fits in ((3 * side * side, True), (side * side // 4, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        with nullcontext() if fits else pytest.raises(NoRoom):
            check_target(tmp_path, found)
