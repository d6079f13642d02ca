"""The amplitude of complex numbers as a VRT, for a raster to be warped: in a warp of the numbers, phases cancel."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from tiler.raster.options import Nodata
from tiler.raster.vrt import VrtReader, copy_of, declare_nodata, forget_nodata

NAME = "amplitude"  # of such a band
TYPES = {"CFloat64": "Float64"}  # of the amplitude of a type; of all others it is a Float32


def is_complex(dataset: DatasetReader, band: int = 1) -> bool:
    """Whether the band has complex numbers."""
    return bool(dataset.dtypes[band - 1].startswith("complex"))


def was_complex(dataset: DatasetReader, band: int) -> bool:
    """Whether the band has complex numbers, or their amplitude, made here."""
    return is_complex(dataset, band) or dataset.descriptions[band - 1] == NAME


def amplitude_of(dataset: DatasetReader, description: ET.Element, nodata: Nodata) -> ET.Element:
    """A VRT of the amplitude of `dataset`, of which `description` is a VRT.

    It is NaN where the mask is 0: also where a number is `nodata`, or else the raster's own nodata value. GDAL's mask
    looks at the real part only, so where the amplitude is another, it is laid over once more.
    """
    if nodata is not None:
        forget_nodata(description)
    if isinstance(nodata, float):
        declare_nodata(description, nodata)
    with VrtReader(description, dataset.name) as source:
        sizes, made = copy_of(source), copy_of(source)
        by_value = MaskFlags.nodata in source.mask_flag_enums[0]
        value = abs(source.nodata) if by_value else None
    for band in _bands(sizes):
        _say(band, "PixelFunctionType", "mod")
        _say(band, "SourceTransferType", str(band.get("dataType")))
        band.set("subClass", "VRTDerivedRasterBand")
        band.set("dataType", TYPES.get(str(band.get("dataType")), "Float32"))
    for number, band in enumerate(_bands(made), 1):
        band.set("dataType", TYPES.get(str(band.get("dataType")), "Float32"))
        for each in band.findall("SimpleSource") + band.findall("ComplexSource"):
            band.remove(each)
        _source(band, "SimpleSource", sizes, str(number))
        masked = _source(band, "ComplexSource", description, f"mask,{number}")
        _say(masked, "NODATA", "255")  # valid pixels: they stay
        _say(masked, "ScaleOffset", "nan")
        _say(masked, "ScaleRatio", "1")
        if value is not None:
            _say(_source(band, "ComplexSource", sizes, str(number)), "NODATA", repr(value))
    forget_nodata(made)
    declare_nodata(made, float("nan"))
    return made


def name_bands(description: ET.Element) -> ET.Element:
    """Say of each band but alpha that it is an amplitude."""
    for band in _bands(description):
        if band.findtext("ColorInterp") != "Alpha":
            for each in band.findall("Description"):
                band.remove(each)
            _say(band, "Description", NAME)
    return description


def _bands(description: ET.Element) -> list[ET.Element]:
    return description.findall("VRTRasterBand")


def _source(band: ET.Element, kind: str, description: ET.Element, number: str) -> ET.Element:
    """Add a band of `description`, whole, to the sources of `band`."""
    made = ET.SubElement(band, kind)
    ET.SubElement(made, "SourceFilename", relativeToVRT="0").text = ET.tostring(description, "unicode")
    ET.SubElement(made, "SourceBand").text = number
    return made


def _say(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text
