"""Draws a part of one dataset with GDAL; run with one argument in JSON."""

import json
import sys
from pathlib import Path

import rasterio
from PIL import Image
from rasterio.windows import from_bounds

said = json.loads(sys.argv[1])
shape = (said["size"], said["size"])
with rasterio.Env(GDAL_DEFAULT_WMS_CACHE_PATH=str(Path.cwd() / "cache")), rasterio.open(said["source"]) as source:
    window = from_bounds(*said["box"], source.transform)
    bands = source.read(window=window, out_shape=(source.count, *shape), boundless=True)
Image.fromarray(bands.transpose(1, 2, 0)).save(said["out"])
