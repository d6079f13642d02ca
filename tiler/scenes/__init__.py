"""Scenes: the rasters that a layer is made of, and the files that each is read from."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
