"""Arrays of values and colours, without GDAL: styles, colour ramps, terrain, separable filters, image encoders."""
