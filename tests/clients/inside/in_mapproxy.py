"""Asks MapProxy's WMS for a map; run by the Python that has MapProxy, with one argument in JSON."""

import json
import sys
from pathlib import Path

from mapproxy.wsgiapp import make_wsgi_app
from werkzeug.test import Client

said = json.loads(sys.argv[1])
query = {
    "SERVICE": "WMS",
    "VERSION": "1.3.0",
    "REQUEST": "GetMap",
    "LAYERS": said["layer"],
    "STYLES": "",
    "CRS": "EPSG:3857",
    "BBOX": ",".join(map(repr, said["box"])),
    "WIDTH": said["size"],
    "HEIGHT": said["size"],
    "FORMAT": "image/png",
}
answer = Client(make_wsgi_app(said["config"])).get("/service", query_string=query)
if answer.mimetype != "image/png":
    sys.exit(f"{answer.status}: {answer.get_data(as_text=True)[:200]!r}")
Path(said["out"]).write_bytes(answer.get_data())
