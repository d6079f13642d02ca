"""The command `serve`."""

from __future__ import annotations

import logging
import socket
import sys
import warnings
import webbrowser
from dataclasses import replace

import click

from seeder.cli.common import check_folder, guarded, located, where
from seeder.serve import pages
from tiler.errors import BadOption
from tiler.ingest.processes import signals
from tiler.settings import Settings

PORT = 8000


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes any free one.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="0.0.0.0 lets others look too.")
@click.option("--open", "browse", is_flag=True, help="Open the list of layers in a browser.")
@click.option("--any-format", is_flag=True, help="Also render formats other than the layer's.")
@guarded
@located
def serve(port: int, host: str, browse: bool, any_format: bool, settings: Settings) -> None:
    """Serve the layers as the deployed system does, with a preview and a coverage map of each, until Ctrl-C.

    A tile that is not stored is rendered and stored by the code of the Lambda. With --stack it is the stack's buckets
    that are shown, and filled. A tile of another format than the layer's is answered by a redirect to the layer's own.

    \b
    Examples:
      seeder serve --open
      seeder serve --stack tile-seeder-dev --port 9000
    """
    import uvicorn  # noqa: PLC0415 - it and what follows take a tenth of a second of every command

    from seeder.serve.server import Site  # noqa: PLC0415

    check_folder(settings)
    _log_to_terminal()
    settings = replace(settings, any_format=any_format or settings.any_format)
    listening = listen(host, port)
    with listening, signals(lambda: sys.exit(0)), Site.open(settings, where(settings)) as site:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
        click.echo(f"{settings.tiles} at {address} (Ctrl-C ends it)", err=True)
        if not pages.assets():
            click.echo(f"tiles, TileJSON and WMTS are served, but {pages.CURE}", err=True)
        if browse:
            webbrowser.open(address)
        config = uvicorn.Config(site.app(), log_config=None, access_log=False, timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        BadOption: nobody may, or somebody else does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        why = f"cannot listen on port {port} of {host} ({reason})"
        raise BadOption(f"{why}: name others with --port and --host") from error
    # asyncio would set it only for a socket that says TCP: without it, a tile in two packets waits 40 ms for the first
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _log_to_terminal() -> None:
    """Show what goes wrong in the render path, of which the client is not told all."""
    # rasterio silences this of its own arrays, in a way that does not hold while threads warp
    warnings.filterwarnings("ignore", "Dataset has no geotransform")
    said = logging.Formatter("%(levelname)s %(message)s %(path)s %(error)s", defaults={"path": "", "error": ""})
    for handler in logging.getLogger().handlers:
        handler.setFormatter(said)
