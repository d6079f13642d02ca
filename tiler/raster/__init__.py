"""GDAL: rasters opened as the user says, their pixels, masks, values and place, and the warp onto the tile grid."""

import tiler.without_boto3  # noqa: F401 - before any module here imports rasterio
