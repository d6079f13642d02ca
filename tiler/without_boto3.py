"""Import rasterio without boto3.

rasterio imports boto3 if it is installed, which takes a third of a second that serving a tile does not need. GDAL and
obstore find keys themselves. Packages whose modules use rasterio import this module first.
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
