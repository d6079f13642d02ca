"""Draws one layer with QGIS; run by the Python that QGIS belongs to, with one argument in JSON."""

import json
import sys

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QSize

said = json.loads(sys.argv[1])
app = QgsApplication([], False)  # noqa: FBT003 - not with windows
app.initQgis()
layer = QgsRasterLayer(said["uri"], "layer", "wms")
if not layer.isValid():
    sys.exit(f"no valid layer: {layer.error().message()}")
settings = QgsMapSettings()
settings.setLayers([layer])
settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
settings.setOutputSize(QSize(said["size"], said["size"]))
settings.setExtent(QgsRectangle(*said["box"]))
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
for error in job.errors():
    print(error.message, file=sys.stderr)  # noqa: T201 - another program reads it
job.renderedImage().save(said["out"])
