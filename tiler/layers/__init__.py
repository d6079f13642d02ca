"""A layer as it is published: its catalog entry, its COG, the tile that is rendered from it and stored."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
