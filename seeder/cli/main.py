"""The program `seeder`: its commands by section. A command's module is imported when the command runs."""

from __future__ import annotations

import click

from seeder.cli.grouping import Home, Program, option

SECTIONS = {
    "Layers": {
        "ingest": Home("seeder.cli.ingest", "ingest", "Make a layer from one or more rasters, or its next revision."),
        "info": Home("seeder.cli.info", "info", "Describe a raster and its oddities before an ingest."),
        "apply": Home("seeder.cli.apply", "apply", "Make the layers of a file what it describes."),
        "layers": Home("seeder.cli.layers", "layers", "List the layers."),
        "scenes": Home("seeder.cli.scenes", "scenes", "List the scenes of a layer, the lowest first."),
        "refresh": Home("seeder.cli.refresh", "refresh", "Replace rasters or scenes; re-render stored tiles."),
        "rollback": Home("seeder.cli.refresh", "rollback", "Restore an earlier revision of a layer."),
        "remove": Home("seeder.cli.remove", "remove", "Remove a layer: tiles, sources and jobs."),
    },
    "Tiles": {
        "count": Home("seeder.cli.count", "count_tiles", "Count the selected tiles of each zoom."),
        "list": Home("seeder.cli.count", "list_tiles", "List the selected tiles as z/x/y."),
        "seed": Home("seeder.cli.seed", "seed", "Render the missing tiles of a layer."),
        "verify": Home("seeder.cli.verify", "verify", "Find missing, stale and damaged tiles."),
        "export": Home("seeder.cli.export", "export", "Write stored tiles to PMTiles, MBTiles or a folder."),
        "invalidate": Home("seeder.cli.invalidate", "invalidate", "Remove or re-render stored tiles."),
    },
    "Jobs": {
        "status": Home("seeder.cli.jobs", "status", "Show a job's progress, or list all jobs."),
        "errors": Home("seeder.cli.jobs", "errors", "Show or retry a job's failed tiles."),
        "cancel": Home("seeder.cli.jobs", "cancel", "Cancel a job."),
        "resume": Home("seeder.cli.jobs", "resume_command", "Resume an unfinished job."),
    },
    "Operate": {
        "serve": Home("seeder.cli.serve", "serve", "Serve tiles, previews and WMTS from this machine."),
        "publish-preview": Home("seeder.cli.publish_preview", "publish_preview", "Publish a preview page and WMTS."),
        "worker": Home("seeder.cli.operate", "worker", "Process queues on this machine."),
        "doctor": Home("seeder.cli.operate", "doctor", "Check credentials, stack, buckets and queue."),
        "empty-stack": Home("seeder.cli.remove", "empty_stack", "Empty both buckets of a stack before its removal."),
    },
}


def _show_versions(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        from tiler.raster.datasets import versions

        gdal, rasterio = versions()
        click.echo(f"seeder, version {version('tile-seeder')} (GDAL {gdal}, rasterio {rasterio})")
        context.exit()


@click.group(cls=Program, sections=SECTIONS)
@option("--stack", group="General", metavar="NAME", help="Use the buckets and the queue of this deployed stack.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_versions,
    help="Show the versions of seeder, GDAL and rasterio.",
)
def main(stack: str | None) -> None:
    """Precompute the map tiles of rasters.

    \b
    Examples:
      seeder ingest ortho.tif
      seeder seed ortho --zooms 5-14
    """
