"""A published layer: its catalog entry, its parts, and tiles rendered from them into the store."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
