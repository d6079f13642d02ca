"""What a tile costs by each delivery: `python bench/delivery.py [--tiny] [DATA]`.

Tiles of a relief, requested in turns from a website with redirects and through a distribution. All servers are
stand-ins in this process and answer at once: S3 is a folder, the distribution that of the end-to-end tests. So
milliseconds compare the work of visitor, servers and function; requests and connections are those of AWS.
"""

from __future__ import annotations

import base64
import itertools
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import urllib3
from answers import event
from mercantile import Tile
from tiny import JOBS, WIDTH, arguments, parser_for, sized, write_relief

from tiler.http import Service
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import CACHE_CONTROL
from tiler.layers.layer_cache import Layers
from tiler.storage.store import Store, Stores, open_store

sys.path.append(str(Path(__file__).parent.parent))
from tests.e2e.cloudfront import Distribution, Origin, config_of, read_template
from tests.e2e.tls import TlsServer, certificate
from tests.e2e.wire import Exchange, Server

TILES = sized(201, 5)
HOST = "localhost"


class Visit(NamedTuple):
    """A tile as a visitor gets it: milliseconds, those of CPU, requests, new connections, requests to origins."""

    ms: float
    cpu: float
    requests: int
    connections: int
    behind: int


@dataclass
class Delivery:
    """The address of the tiles, and the requests that its servers have sent each other."""

    url: str
    behind: Callable[[], int]
    forget: Callable[[], object]

    def visit(self, key: str, pool: urllib3.PoolManager) -> Visit:
        """Get a tile; of its connections only those that `pool` does not keep are new."""
        url, requests, before, opened = f"{self.url}/{key}", 0, self.behind(), connections(pool)
        start, cpu = time.perf_counter(), time.process_time()
        while url:
            answer = pool.request("GET", url, redirect=False)
            url, requests = answer.headers.get("Location", ""), requests + 1
        spent = (1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu))
        if answer.status != 200:
            sys.exit(f"{key}: {answer.status}")
        return Visit(*spent, requests, connections(pool) - opened, self.behind() - before)


def connections(pool: urllib3.PoolManager) -> int:
    """The connections that a client has opened."""
    hosts = [pool.pools[key] for key in pool.pools.keys()]  # noqa: SIM118 - the container is no mapping
    return sum(host.num_connections for host in hosts)


def bucket(tiles: Store, misses_to: Callable[[], str]) -> Callable[[Exchange], None]:
    """S3's answers: a stored tile; for a missing one a redirect to `misses_to()`, or 404 if that is empty."""

    def answer(exchange: Exchange) -> None:
        key = exchange.target.partition("?")[0].removeprefix("/")
        if tiles.has(key):
            headers = [("Content-Type", "image/png"), ("Cache-Control", CACHE_CONTROL)]
            exchange.send(200, headers, tiles.get(key))
        elif misses_to():
            exchange.send(307, [("Location", f"{misses_to()}/{key}")])
        else:
            exchange.send(404, [("Content-Type", "application/xml")], b"<Error><Code>NoSuchKey</Code></Error>")

    return answer


def function(service: Service) -> Callable[[Exchange], None]:
    """The answers of the http Lambda, which has one thread."""
    thread = ThreadPoolExecutor(1)

    def answer(exchange: Exchange) -> None:
        made = thread.submit(service.answer, event(exchange.target)).result()
        body = made["body"]
        data = base64.b64decode(body) if made["isBase64Encoded"] else body.encode()
        exchange.send(made["statusCode"], made["headers"].items(), data)

    return answer


def unsigned(_request: object) -> None:
    """No signature: the servers here ask for none."""


@contextmanager
def website(stores: Stores, tls: ssl.SSLContext) -> Iterator[Delivery]:
    """The website of a bucket over HTTP; its API and the bucket's own address over TLS."""
    with closing(TlsServer(bucket(stores.tiles, str), tls)) as direct:
        service = Service(stores, Layers(stores.sources), f"https://{HOST}:{direct.port}")
        with closing(TlsServer(function(service), tls)) as api:
            place = f"https://{HOST}:{api.port}"
            with closing(Server(bucket(stores.tiles, lambda: place))) as front:
                yield Delivery(f"http://{HOST}:{front.port}", int, int)


@contextmanager
def cloudfront(stores: Stores, tls: ssl.SSLContext) -> Iterator[Delivery]:
    """A distribution over TLS in front of a bucket and a function."""
    service = Service(stores, Layers(stores.sources), "", inline=True)
    with closing(Server(bucket(stores.tiles, str))) as tiles, closing(Server(function(service))) as http:
        servers = {"tiles": tiles, "http": http}
        origins = {name: Origin(f"http://127.0.0.1:{each.port}", "", unsigned) for name, each in servers.items()}
        template = read_template()
        viewer = lambda method, uri: {"method": method, "uri": uri}  # noqa: E731 - for tiles that is all it does
        cdn = Distribution(origins, viewer, config_of(template))  # type: ignore[arg-type]
        with closing(TlsServer(cdn.answer, tls)) as front:
            behind = lambda: sum(len(each.origins) for each in cdn.served)  # noqa: E731 - a field of the value below
            yield Delivery(f"https://{HOST}:{front.port}", behind, lambda: cdn.forget(["/*"]))


def names(layer: Layer) -> list[str]:
    """Keys of some tiles of the layer's highest zoom."""
    z = layer.maxzoom
    (part,) = layer.ranges(z)
    tiles = (Tile(x=x, y=y, z=z) for y in range(part.y0, part.y1) for x in range(part.x0, part.x1))
    return [tile_key(TileName(layer.id, tile, 1, layer.format)) for tile in itertools.islice(tiles, TILES)]


def rows(what: str, website: list[Visit], cloudfront: list[Visit]) -> Iterator[str]:
    """The rows of both deliveries, of medians; the last column compares CPU."""
    medians = [[statistics.median(each) for each in zip(*visits, strict=True)] for visits in (website, cloudfront)]
    for name, (ms, cpu, *counts) in zip(("website", "cloudfront"), medians, strict=True):
        cells = [what, name, f"{ms:.2f}", f"{cpu:.2f}", *(f"{each:.0f}" for each in counts)]
        yield f"| {' | '.join(cells)} | {cpu / medians[0][1]:.2f} x |"


def measure(data: Path, folder: Path) -> Iterator[str]:
    """Yield the rows."""
    sources = open_store((data / "private").as_uri())
    layer = load_layer(sources, "relief")
    stores = {
        name: Stores(open_store((folder / name).as_uri(), create=True), sources, "http://tiles.test")
        for name in ("website", "cloudfront")
    }

    def client() -> urllib3.PoolManager:
        return urllib3.PoolManager(retries=False, ca_certs=str(folder / f"{HOST}.pem"))

    (first, *others), tls = names(layer), certificate(folder, HOST)
    half = len(others) // 2
    with website(stores["website"], tls) as one, cloudfront(stores["cloudfront"], tls) as other:
        pools = (client(), client())
        for pool, delivery in zip(pools, (one, other), strict=True):
            delivery.visit(first, pool)  # opens connections and the raster
        for what, keys, new in (
            ("rendered, a new visitor", others[:half], True),
            ("rendered", others[half:], False),
            ("again", others[half:], False),
            ("stored, nothing cached", others[half:], False),
        ):
            if what.startswith("stored"):
                other.forget()
            visits: tuple[list[Visit], list[Visit]] = ([], [])
            for key in keys:
                for delivery, pool, made in zip((one, other), pools, visits, strict=True):
                    made.append(delivery.visit(key, client() if new else pool))
            yield from rows(what, *visits)


@contextmanager
def relief(data: Path | None) -> Iterator[Path]:
    """`data`, or a data folder with a layer that is made for this run."""
    if data:
        yield data
        return
    with TemporaryDirectory(prefix="bench-") as folder:
        path, made = Path(folder) / "relief.tif", Path(folder) / "data"
        write_relief(path, sized(4096, WIDTH))
        subprocess.run(
            [sys.executable, "-m", "seeder", "ingest", path, "--data", made, "--format", "png", *JOBS], check=True
        )
        yield made


if __name__ == "__main__":
    parser = parser_for(__doc__)
    parser.add_argument(
        "data", nargs="?", type=Path, metavar="DATA", help="a folder with the layer relief, or a new one"
    )
    chosen = arguments(parser)
    with relief(chosen.data) as found, TemporaryDirectory(prefix="bench-") as temporary:
        print("| a tile | delivery | ms | of CPU | requests | connections | to origins | CPU / website |")
        print("| --- | --- |" + " ---: |" * 6)
        for line in measure(found, Path(temporary)):
            print(line)
