"""A published layer: its catalog entry, its COG, and tiles rendered from it into the store."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
