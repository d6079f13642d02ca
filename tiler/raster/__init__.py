"""GDAL: open rasters with the user's options; their pixels, masks, values and place; the warp to the tile grid."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
