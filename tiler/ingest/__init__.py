"""Make a layer of a raster: survey it, bake it into a COG on the tile grid, publish it."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
