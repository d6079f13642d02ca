"""GDAL's command `gdal` without the command: `with_gdal.py raster tile ...`, run in the peers' own environment.

rasterio's wheel brings a newer GDAL than most systems have, and no commands; so its library is called through the C API
that the command itself is made of. Knows commands of two words, and `--version`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

HANDLE, TEXT, FLAG = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_bool


def main(*arguments: str) -> None:
    """Run the algorithm that `arguments` begin with."""
    package = Path(sys.prefix) / "gdal" / "rasterio"
    if not package.is_dir():
        sys.exit("no GDAL with `gdal raster tile` is installed")
    os.environ |= {"GDAL_DATA": str(package / "gdal_data"), "PROJ_DATA": str(package / "proj_data")}
    library = ctypes.CDLL(str(next(package.with_name("rasterio.libs").glob("libgdal*"))))

    def call(name: str, result: Any, *values: Any) -> Any:
        function = getattr(library, name)
        function.restype = result
        return function(*values)

    if arguments == ("--version",):
        print(call("GDALVersionInfo", TEXT, TEXT(b"--version")).decode())
        return
    call("GDALAllRegister", None)
    group, name, *rest = (each.encode() for each in arguments)
    registry = HANDLE(call("GDALGetGlobalAlgorithmRegistry", HANDLE))
    outer = HANDLE(call("GDALAlgorithmRegistryInstantiateAlg", HANDLE, registry, TEXT(group)))
    inner = HANDLE(call("GDALAlgorithmInstantiateSubAlgorithm", HANDLE, outer, TEXT(name)))
    words = (TEXT * (len(rest) + 1))(*rest, None)
    done = call("GDALAlgorithmParseCommandLineArguments", FLAG, inner, words)
    done = done and call("GDALAlgorithmRun", FLAG, inner, HANDLE(), HANDLE())
    done = call("GDALAlgorithmFinalize", FLAG, inner) and done
    sys.exit(not done)


if __name__ == "__main__":
    main(*sys.argv[1:])
