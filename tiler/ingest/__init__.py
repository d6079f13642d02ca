"""Make a layer of a raster or scenes: survey them, bake them into parts on the tile grid, publish it."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
