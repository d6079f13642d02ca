"""A VRT of the amplitude of complex numbers, to warp it: warping the numbers themselves would cancel phases."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from tiler.raster.options import Nodata
from tiler.raster.vrt import VrtReader, copy_of, declare_nodata, forget_nodata

NAME = "amplitude"  # description of such a band
TYPES = {"CFloat64": "Float64"}  # type of the amplitude by type of the numbers; Float32 for all others


def is_complex(dataset: DatasetReader, band: int = 1) -> bool:
    """Whether the band has complex numbers."""
    return bool(dataset.dtypes[band - 1].startswith("complex"))


def was_complex(dataset: DatasetReader, band: int) -> bool:
    """Whether the band has complex numbers, or is an amplitude made by this module."""
    return is_complex(dataset, band) or dataset.descriptions[band - 1] == NAME


def amplitude_of(dataset: DatasetReader, description: ET.Element, nodata: Nodata) -> ET.Element:
    """A VRT of the amplitude of `dataset`; `description` is a VRT of the dataset.

    It is NaN where the mask is 0, which includes pixels of `nodata`, or else of the raster's own nodata value. GDAL's
    mask compares only the real part, so pixels with another amplitude are drawn again on top.
    """
    if nodata is not None:
        forget_nodata(description)
    if isinstance(nodata, float):
        declare_nodata(description, nodata)
    with VrtReader(description, dataset.name) as source:
        amplitudes, masked = copy_of(source), copy_of(source)
        by_value = MaskFlags.nodata in source.mask_flag_enums[0]
        value = abs(source.nodata) if by_value else None
    for band in _bands(amplitudes):
        _add(band, "PixelFunctionType", "mod")
        _add(band, "SourceTransferType", str(band.get("dataType")))
        band.set("subClass", "VRTDerivedRasterBand")
        band.set("dataType", TYPES.get(str(band.get("dataType")), "Float32"))
    for number, band in enumerate(_bands(masked), 1):
        band.set("dataType", TYPES.get(str(band.get("dataType")), "Float32"))
        for each in band.findall("SimpleSource") + band.findall("ComplexSource"):
            band.remove(each)
        _add_source(band, "SimpleSource", amplitudes, str(number))
        mask = _add_source(band, "ComplexSource", description, f"mask,{number}")
        _add(mask, "NODATA", "255")  # keeps valid pixels
        _add(mask, "ScaleOffset", "nan")
        _add(mask, "ScaleRatio", "1")
        if value is not None:
            _add(_add_source(band, "ComplexSource", amplitudes, str(number)), "NODATA", repr(value))
    forget_nodata(masked)
    declare_nodata(masked, float("nan"))
    return masked


def name_bands(description: ET.Element) -> ET.Element:
    """Describe each band except alpha as an amplitude."""
    for band in _bands(description):
        if band.findtext("ColorInterp") != "Alpha":
            for each in band.findall("Description"):
                band.remove(each)
            _add(band, "Description", NAME)
    return description


def _bands(description: ET.Element) -> list[ET.Element]:
    return description.findall("VRTRasterBand")


def _add_source(band: ET.Element, kind: str, description: ET.Element, number: str) -> ET.Element:
    """Add a whole band of `description` to the sources of `band`."""
    source = ET.SubElement(band, kind)
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = ET.tostring(description, "unicode")
    ET.SubElement(source, "SourceBand").text = number
    return source


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text
