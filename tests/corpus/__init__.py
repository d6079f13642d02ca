"""Every raster of a folder through ingest and seed, compared with GDAL's own warp: `scripts/corpus`, by hand.

The oracle (`meaning`, `compare`) reads rasters with rasterio and shares no code with `tiler`: it has the declared
meaning by plain arithmetic, lets GDAL warp values and cover to the tile grid, and applies the layer's own stretch.

What passes for the same, and why:

- A colour is right if it lies within `LEVELS` of the oracle's pixel or of those that touch it: GDAL's approximate
  transformer is an eighth of a source pixel off, and steep edges turn that into many levels. Beside pixels that are
  missing or translucent `EDGE` levels are, weighed by the cover: there each of GDAL's kernels has another mean.
- Away from what is missing, the mean distance from the very pixel must be small none the less: `MEAN` at the raster's
  own zoom, `LOWER` below it, where both are halved, each by its own cubic kernel.
- Few whole numbers that are stretched come in steps of many levels: one such step may then be off.
- No place a pixel aside may fit much better (`shifted`): neighbours would hide a shift by one.
- Cover is right within `COVER` of the oracle's pixel or of those that touch it: an edge is soft where alpha is
  warped and hard where a nodata value is.
- A share `SHARE` of the pixels may miss all that, and `FEW` pixels of any raster.
- Classes of a palette are never blended: a colour must be that of a class which the oracle has under the pixel or
  beside it.

A layer whose stretch lies outside its valid values, or whose zoom is more than one off the raster's
resolution, differs too.
"""
