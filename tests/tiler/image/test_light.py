"""Hillshades in any light equal gdaldem's with the same options, and so does relief: colours times the shade."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gdaldem import gdaldem
from tiler.errors import BadOption
from tiler.grid import TILE, Window
from tiler.image.drawn import picture_of
from tiler.image.light import DEFAULT, Light
from tiler.image.style import Style, Values
from tiler.image.terrain import derived, ground

ROUNDED = 0.502  # levels: gdaldem rounds to whole ones
OPTIONS = {
    "-az 30 -alt 20 -z 2.5": Light(30, 20, 2.5),
    "-az 0 -alt 5": Light(0, 5),
    "-az 200 -alt 90": Light(200, 90),
    "-z 0.2": Light(z_factor=0.2),
    "-multidirectional": Light(shading="multidirectional"),
    "-multidirectional -alt 20 -z 3": Light(altitude=20, z_factor=3, shading="multidirectional"),
    "-combined": Light(shading="combined"),
    "-combined -az 120 -alt 60 -z 2": Light(120, 60, 2, "combined"),
}
EARLIER = {
    "hillshade": "33d399cc81f5f7e2",
    "slope": "ae726b5f8dad56ec",
}  # digests of the kernels' results before there was a light


def hills(height: int, width: int) -> Values:
    """Heights in pixels, level at one side, with slopes of all kinds; `(height, width)` float32."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(4).normal(0, 0.6, (height, width))
    heights = (noise + np.sin(columns / 9) * 5 + rows * 0.3).astype(np.float32)
    heights[:, : width // 8] = 7
    return heights


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("z", "y"), [(2, 0), (12, 2048), (16, 40000)])
@pytest.mark.parametrize("holes", [False, True])
def test_a_hillshade_is_gdaldems_with_the_same_options(
    options: str, z: int, y: int, holes: bool, tmp_path: Path
) -> None:
    window = Window(z, 0, y * TILE + 100, 200, 40)
    heights = hills(42, 202) * np.float32(ground(window).mean())
    mask = np.random.default_rng(z).choice([0, 255], heights.shape, p=[0.1, 0.9]).astype(np.uint8)
    (shade,), _ = derived("hillshade", (heights[np.newaxis], mask if holes else None), window, OPTIONS[options])
    seen = np.where(mask == 0, np.float32(np.nan), heights) if holes else heights
    compared = 0
    for row in (0, 17, 39):  # each has metres of its own
        edges = ("-compute_edges",) if holes else ()
        metres = ground(window)[row]
        theirs = gdaldem("hillshade", seen[row : row + 3], tmp_path, *options.split(), *edges, metres=metres)
        shown = ~np.isnan(seen[row + 1, 1:-1])
        assert np.abs(shade[row] - theirs[0, 1, 1:-1])[shown].max() <= ROUNDED
        compared += shown.sum()
    assert compared > 450
    assert shade.std() > 2


lights = st.builds(
    Light,
    azimuth=st.floats(0, 360),
    altitude=st.floats(0, 90),
    z_factor=st.floats(0.01, 100),
    shading=st.sampled_from(["", "combined"]),
) | st.builds(Light, altitude=st.floats(0, 90), z_factor=st.floats(0.01, 100), shading=st.just("multidirectional"))


@given(lights, st.floats(0, 1e6, width=32))
def test_any_light_gives_shades_from_1_to_255_and_level_ground_its_own(light: Light, steepest: float) -> None:
    heights = np.zeros((1, 12, 22), np.float32)
    heights[..., 11:] = np.random.default_rng(1).random((12, 11)) * np.float32(steepest)
    (shade,), _ = derived("hillshade", (heights, None), Window(14, 0, 2_000_000, 20, 10), light)
    assert shade.min() >= 1
    assert shade.max() <= 255 + 1e-3
    assert shade[:, :9] == pytest.approx(light.level, abs=1e-3)


def test_the_default_light_written_out_is_the_default() -> None:
    window = Window(12, 0, 1000, 200, 40)
    area = (hills(42, 202) * np.float32(9))[np.newaxis], None
    almost = Light(z_factor=1 + 1e-9)
    assert almost != DEFAULT
    assert np.abs(derived("hillshade", area, window, almost)[0] - derived("hillshade", area, window)[0]).max() < 1e-3


@pytest.mark.parametrize("terrain", EARLIER)
def test_layers_of_earlier_versions_keep_their_bytes(terrain: str) -> None:
    rows, columns = np.mgrid[0:66, 0:70]
    heights = ((rows * columns * 37 + columns * 11) % 251).astype(np.float32)[np.newaxis] * np.float32(0.37)
    mask = np.where((rows + columns) % 13, 255, 0).astype(np.uint8)
    style = Style.from_json({"rescale": [[0.0, 200.0]], "palette": [], "terrain": terrain})
    digests = []
    for each in (None, mask):
        picture = picture_of(style, (heights, each), Window(12, 2100, 1400, 68, 64), 1)
        values = derived(terrain, (heights, each), Window(12, 2100, 1400, 68, 64))[0]  # type: ignore[arg-type]
        digests += [picture.pixels.tobytes(), values.tobytes()]
    assert hashlib.sha256(b"".join(digests)).hexdigest()[:16] == EARLIER[terrain]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"azimuth": 361.0}, "--azimuth 361: write degrees clockwise from north, 0 to 360"),
        ({"azimuth": float("nan")}, "--azimuth nan"),
        ({"altitude": -1.0}, "--altitude -1: write degrees above the horizon, 0 to 90"),
        ({"altitude": 90.5}, "--altitude 90.5"),
        ({"z_factor": 0.0}, "--z-factor 0: write a number above 0"),
        ({"z_factor": float("inf")}, "--z-factor inf"),
        ({"z_factor": 1e30}, "--z-factor 1e.30: write a number above 0, such as 2, up to 1,000,000"),
        ({"azimuth": 200.0, "shading": "multidirectional"}, "four sides: drop --azimuth"),
    ],
)
def test_a_light_that_is_none_is_refused(values: dict[str, float], wanted: str) -> None:
    with pytest.raises(BadOption, match=wanted):
        Light(**values)  # type: ignore[arg-type]


STOPS = "0 10 90 40\n400 240 220 120\n1200 250 250 250\n"


@pytest.mark.parametrize("options", ["-alt 45", *list(OPTIONS)[:1], *list(OPTIONS)[4:7]])
def test_relief_is_gdaldems_colour_relief_times_its_hillshade(options: str, tmp_path: Path) -> None:
    window = Window(12, 0, 2048 * TILE, 200, 40)
    metres = float(ground(window)[20])
    heights = hills(42, 202) * np.float32(metres) + 300
    (tmp_path / "colours.txt").write_text(STOPS)
    stops = tuple(tuple(map(float, line.split())) for line in STOPS.splitlines())
    light = OPTIONS.get(options, DEFAULT)
    coloured = [(value, int(red), int(green), int(blue), 255) for value, red, green, blue in stops]
    style = Style(stops=tuple(coloured), terrain="relief", light=light)
    mask = np.full(heights.shape, 255, np.uint8)
    mask[10:20, 100:130] = 0
    picture = picture_of(style, (heights[np.newaxis], mask), window, 1)
    colours = gdaldem("color-relief", heights, tmp_path, colours=tmp_path / "colours.txt")[:3, 1:-1, 1:-1]
    shade = gdaldem("hillshade", heights, tmp_path, *options.split(), metres=metres)[0, 1:-1, 1:-1]
    wanted = np.minimum(255, colours * (shade / light.level))
    off = np.abs(np.moveaxis(picture.pixels, -1, 0) - wanted)
    shown = np.ones(off.shape[1:], bool)
    shown[8:21, 98:131] = False  # where missing neighbours count as high as the pixel
    assert off[:, shown].max() <= 1 + 255 / light.level  # a level of both
    assert off[:, shown].mean() < 0.6
    assert picture.mask is not None
    assert np.array_equal(picture.mask, mask[1:-1, 1:-1])
    level = picture.pixels[:, :20][(shade[:, :20] > 0) & shown[:, :20]]
    assert np.abs(level - colours[:, :, :20].reshape(3, -1).T).max() <= 1  # level ground has the ramp's own colours


@pytest.mark.parametrize(("terrain", "step"), [("terrain-rgb", 0.1), ("terrarium", 1 / 256)])
@pytest.mark.parametrize(("metres", "degrees"), [(10, (0.3, 0.012)), (1, (2.9, 0.12)), (0.25, (11.4, 0.45))])
def test_rounded_heights_change_slopes_no_more_than_the_guide_says(
    terrain: str, step: float, metres: float, degrees: tuple[float, float]
) -> None:
    heights = np.random.default_rng(8).uniform(0, metres / 50, (1, 202, 202))
    rounded = np.rint(heights / step) * step
    window = Window(14, 0, (TILE << 13) - 100, 200, 200)
    stretch = ground(window).mean() / metres  # so that a pixel measures that many metres
    slopes = [derived("slope", (each * stretch, None), window)[0] for each in (heights, rounded)]
    wanted = degrees[0] if terrain == "terrain-rgb" else degrees[1]
    assert 0.02 * wanted < np.abs(slopes[0] - slopes[1]).max() <= wanted
    assert np.degrees(np.arctan(step / 2 / metres)) == pytest.approx(wanted, rel=0.1)
