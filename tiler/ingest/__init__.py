"""A raster becomes a layer: surveyed, baked into a COG on the tile grid, published."""
