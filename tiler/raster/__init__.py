"""GDAL: rasters opened as the user says, their pixels, masks, values and place, and the warp onto the tile grid."""
