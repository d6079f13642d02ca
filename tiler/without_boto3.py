"""Importing this imports rasterio, and keeps rasterio from importing boto3.

rasterio takes boto3 along where it is installed: a third of a second that serving a tile does not need. GDAL and
obstore find keys by themselves. The packages whose modules use rasterio import this first.
"""

import sys

_boto3 = sys.modules.get("boto3")
sys.modules["boto3"] = None  # type: ignore[assignment]
try:
    import rasterio.session  # noqa: F401 - for this side effect
finally:
    if _boto3:
        sys.modules["boto3"] = _boto3
    else:
        del sys.modules["boto3"]
