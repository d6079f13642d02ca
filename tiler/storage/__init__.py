"""Objects by key in a folder, S3 or memory; parallel requests; GDAL's reads of a store."""
