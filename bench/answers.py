"""A process that answers requests as the Lambda behind the redirect path does, and tells in JSON what each took.

`python answers.py '{"modules": FOLDER, "started": SECONDS, "paths": [...], "stages": true}'`. `started` is the
monotonic clock when the process was begun. It needs nothing but what the Lambda's package holds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

STAGES = {  # functions as their callers look them up; the inner one is charged
    "settings, stores": ["tiler.http:_service"],
    "metadata": ["tiler.layers.layer_cache:Layers.get"],
    "tile looked for": ["tiler.storage.store:Store.existing"],
    "shard": ["tiler.layers.pyramid:shard"],
    "COG opened": ["tiler.layers.part_pixels:opened"],
    "rendered": ["tiler.layers.fill:render"],
    "put": ["tiler.storage.store:Store.put_all"],
}


def event(path: str) -> dict[str, Any]:
    """What API Gateway hands to the function for a GET, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "image/avif,image/webp,*/*",
            "content-length": "0",
            "host": "api.example.test",
            "user-agent": "Mozilla/5.0",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "apiId": "api",
            "domainName": "api.example.test",
            "http": {
                "method": "GET",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "Mozilla/5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Mar/2025:12:00:00 +0000",
            "timeEpoch": 1740830400000,
        },
        "isBase64Encoded": False,
    }


def main(asked: dict[str, Any]) -> None:
    """Import the handler, answer, and tell."""
    clocks = {"interpreter": (time.monotonic() - asked["started"], time.process_time())}
    sys.path[:0] = [asked["modules"], str(Path(__file__).parent)]
    wall, cpu = time.monotonic(), time.process_time()
    from tiler import http  # noqa: PLC0415 - that is what is measured

    clocks["imports"] = (time.monotonic() - wall, time.process_time() - cpu)
    if asked["stages"]:
        from stopwatch import Stopwatch  # noqa: PLC0415 - it is found only now

        watch = Stopwatch()
        watch.wrap(STAGES)
        watch.reset()
    answers = []
    for path in asked["paths"]:
        wall, cpu = time.monotonic(), time.process_time()
        answer = http.handler(event(path), None)
        answers.append((answer["statusCode"], time.monotonic() - wall, time.process_time() - cpu))
    if asked["stages"]:
        clocks |= watch.stop()
    print(json.dumps({"stages": clocks, "answers": answers}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
