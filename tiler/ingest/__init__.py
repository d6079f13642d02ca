"""A raster becomes a layer: surveyed, baked into a COG on the tile grid, published."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
