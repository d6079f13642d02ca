"""Tiles with QGIS, Generate XYZ tiles: `with_qgis.py SOURCE FOLDER Z-Z`, by the Python that has QGIS.

It renders a project of one layer in one process, with its values as they are and cubic resampling.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path += ["/usr/share/qgis/python/plugins"]
from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCubicRasterResampler,
    QgsProject,
    QgsRasterLayer,
)


def main(source: str, folder: str, zooms: str) -> None:
    """Write all tiles."""
    application: Any = QgsApplication([], False)  # noqa: FBT003 - without a screen
    application.initQgis()
    processing = import_module("processing")  # needs a QGIS that runs
    import_module("processing.core.Processing").Processing.initialize()
    low, high = map(int, zooms.split("-"))
    layer: Any = QgsRasterLayer(source, "source")
    layer.setContrastEnhancement(QgsContrastEnhancement.NoEnhancement)
    layer.resampleFilter().setZoomedInResampler(QgsCubicRasterResampler())
    layer.resampleFilter().setZoomedOutResampler(QgsCubicRasterResampler())
    project: Any = QgsProject.instance()
    web = QgsCoordinateReferenceSystem("EPSG:3857")
    project.setCrs(web)
    project.addMapLayer(layer)
    extent = QgsCoordinateTransform(layer.crs(), web, project).transformBoundingBox(layer.extent())
    edges = f"{extent.xMinimum()},{extent.xMaximum()},{extent.yMinimum()},{extent.yMaximum()} [EPSG:3857]"
    values = {"EXTENT": edges, "ZOOM_MIN": low, "ZOOM_MAX": high, "DPI": 96, "TILE_FORMAT": 0, "METATILESIZE": 4}
    values |= {"BACKGROUND_COLOR": "rgba( 0, 0, 0, 0.00 )", "OUTPUT_DIRECTORY": folder}
    processing.run("qgis:tilesxyzdirectory", values)


if __name__ == "__main__":
    main(*sys.argv[1:])
