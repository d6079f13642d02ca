"""The command `serve`."""

from __future__ import annotations

import logging
import socket
import sys
import warnings
import webbrowser
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from seeder.cli.common import basemap_option, check_folder, located, no_layers, where
from seeder.cli.grouping import command, option
from seeder.cli.messages import guarded, note
from tiler.errors import BadOption
from tiler.settings import ANY_FORMAT, Settings

if TYPE_CHECKING:
    from seeder.serve.basemap import Basemap

PORT = 8000


@command("serve")
@option(
    "--port",
    group="Output",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port; 0 chooses a free one.",
)
@option(
    "--host",
    group="Output",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 listens on all interfaces.",
)
@option("--open", "browse", group="Output", is_flag=True, help="Open the list of layers in a browser.")
@option("--any-format", group="Render", is_flag=True, help="Render formats other than the layer's too.")
@basemap_option
@guarded
@located
def serve(port: int, host: str, browse: bool, any_format: bool, basemap: Basemap | None, settings: Settings) -> None:
    """Serve tiles, previews and WMTS from this machine.

    Addresses are those of the deployed system. A missing tile is rendered and stored; with --stack, in the stack's
    buckets. A tile of another format redirects to the layer's own format. Stop with Ctrl-C.

    \b
    Examples:
      seeder serve --open
      seeder serve --basemap osm
      seeder serve --stack tile-seeder-dev --port 9000
    """
    import uvicorn

    from seeder.serve import pages
    from seeder.serve.server import Site
    from tiler.layers.catalog import list_layers
    from tiler.processes import signals

    check_folder(settings)
    _log_to_terminal()
    if any_format:
        settings = replace(settings, variants=ANY_FORMAT)
    listening = listen(host, port)
    with listening, signals(lambda: sys.exit(0)), Site.open(settings, where(settings), basemap) as site:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
        click.echo(f"serving {settings.tiles} at {address} (stop with Ctrl-C)", err=True)
        if not pages.assets():
            note(f"tiles, TileJSON and WMTS are served, but {pages.CURE}")
        if not any(list_layers(site.stores.sources)):
            note(no_layers(settings))
        if browse:
            webbrowser.open(address)
        config = uvicorn.Config(site.app(), log_config=None, access_log=False, timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `port` of `host`.

    Raises:
        BadOption: the address is not allowed, or in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        why = f"cannot listen on port {port} of {host} ({reason})"
        raise BadOption(f"{why}: choose others with --port and --host") from error
    # asyncio sets it only for sockets declared as TCP; without it, the second packet of a tile is 40 ms late
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _log_to_terminal() -> None:
    """Show errors of the render path, of which clients see only a part."""
    # rasterio ignores this warning for its own arrays, but not while other threads warp
    warnings.filterwarnings("ignore", "Dataset has no geotransform")
    form = logging.Formatter("%(levelname)s %(message)s %(path)s %(error)s", defaults={"path": "", "error": ""})
    for handler in logging.getLogger().handlers:
        handler.setFormatter(form)
