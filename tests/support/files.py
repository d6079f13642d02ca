"""Comparisons of the files of a folder."""

from __future__ import annotations

from pathlib import Path

VRT = """<VRTDataset rasterXSize="60" rasterYSize="50">
  <SRS>EPSG:4326</SRS><GeoTransform>5, 0.066, 0, 48, 0, -0.06</GeoTransform>
  <VRTRasterBand dataType="Byte" band="1">{inside}</VRTRasterBand>
</VRTDataset>
"""
SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
)
RAW = (
    '<SourceFilename relativeToVRT="0">{name}</SourceFilename><ImageOffset>0</ImageOffset>'
    "<PixelOffset>1</PixelOffset><LineOffset>60</LineOffset>"
)


def accompanied(old: Path, _new: Path) -> None:
    """Add a sidecar file with another nodata value."""
    sidecar = "<PAMDataset><PAMRasterBand band='1'><NoDataValue>90</NoDataValue></PAMRasterBand></PAMDataset>"
    old.with_name(f"{old.name}.aux.xml").write_text(sidecar)


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and time of change, and every folder."""
    return {
        str(path.relative_to(root)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in root.rglob("*")
    }


def described(path: Path, *names: object, inside: str = "") -> Path:
    """A VRT of other rasters at the same place."""
    path.write_text(VRT.format(inside=inside or "".join(SOURCE.format(name=name) for name in names)))
    return path


def raw(path: Path, secret: Path) -> Path:
    """A VRT whose pixels are the bytes of any file."""
    described(path, inside=RAW.format(name=secret))
    path.write_text(path.read_text().replace('band="1"', 'band="1" subClass="VRTRawRasterBand"'))
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
