"""The revisions of fixed bytes change only with RECIPE; otherwise an update would bake every layer again."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tiler.ingest.survey import revision_of
from tiler.raster.options import Options

RASTER = (  # a GeoTIFF of 8 x 8 pixels
    b"Nl7XI2mk;85dZ)I0{{U4000O8000320{{U4000O8000630{{U4000O8000940{{U4000O8000I70{{U400031000pI1ONd5004Rc"
    b"000#M0{{U400031000&N0{{U4000O8000*O1ONd5002k;000~T0{{U400031002D!0{{U400031002_~0{{U400031000hy3;+WF"
    b"007zm004r73;+fI008m;006It0{|cZ001HZ006Lu3;+TE003eE006Ov0ssgA0043U000000000000000;6DHW00000*gpUO00000"
    b"00000000000000000000000000000000000000006hHs~00000NI(Dp00000000310RR912LJ#B000310ssL7000310RR9900031"
    b"<`4l0v4;l$000IE00031jw1;Ou!jKv0RRgKu!jKv004+>be0{YazFq806?ZxSV31uQy@4rd;oZyV_;-rW?^Mx=iubx=Hcbz7Z4N@"
    b"77-N_mync_mXVc{S5Q<^R#8<`*U;3`*3s3|H!w6ZHZe6bx3ILbwz0Ld2LP(z2jK"
)
VRT = """<VRTDataset rasterXSize="8" rasterYSize="8">
  <SRS>EPSG:4326</SRS><GeoTransform>5, 0.5, 0, 48, 0, -0.375</GeoTransform>
  <VRTRasterBand dataType="Byte" band="1"><SimpleSource>
    <SourceFilename relativeToVRT="1">raster.tif</SourceFilename><SourceBand>1</SourceBand>
  </SimpleSource></VRTRasterBand>
</VRTDataset>
"""
KNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("raster.tif", {}, "324919e4655f"),
    ("raster.tif", {"virtual": True}, "f7002757d230"),
    ("raster.tif", {"max_zoom": 6, "resampling": "nearest", "nodata": 3.0}, "1c11994879e3"),
    ("raster.tif", {"rescale": ((0.0, 60.0),), "format": "webp", "attribution": "us"}, "992672dd3d37"),
    ("raster.tif", {"style": "hillshade", "trust_source": True}, "6e087e821467"),
    ("mosaic.vrt", {}, "003ff49dca04"),
]


@pytest.mark.parametrize(("name", "asked", "revision"), KNOWN)
def test_a_revision_is_what_it_always_was(name: str, asked: dict[str, Any], revision: str, tmp_path: Path) -> None:
    (tmp_path / "raster.tif").write_bytes(base64.b85decode(RASTER))
    (tmp_path / "mosaic.vrt").write_text(VRT)
    assert revision_of(str(tmp_path / name), Options(**asked)) == revision
