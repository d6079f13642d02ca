"""Objects under keys: a folder, S3 or memory; many requests at once; GDAL's reads of them."""
