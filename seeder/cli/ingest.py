"""The command `ingest`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from seeder.cli.bake_job import bake_by_workers
from seeder.cli.common import json_option, located
from seeder.cli.grouping import command, complete_file, option
from seeder.cli.ingest_seed import SeedArguments, print_plan, seed_options
from seeder.cli.ingested import print_and_seed
from seeder.cli.messages import guarded
from seeder.cli.progress import TerminalReport
from seeder.cli.raster_options import raster_options
from seeder.cli.scenes import MakeSources, scene_options
from seeder.cli.scratch import scratch_option
from tiler.keys import check_layer
from tiler.settings import Settings


@command("ingest")
@click.argument("source", nargs=-1, required=True, shell_complete=complete_file)
@option("--layer", group="Output", metavar="NAME", help="Name of the layer.  [default: from SOURCE, if that is one]")
@option(
    "--repair",
    group="Safety",
    is_flag=True,
    help="Replace damaged layer metadata; the revision of stored tiles is unknown then.",
)
@raster_options
@scene_options
@seed_options
@scratch_option
@json_option
@guarded
@located
def ingest(
    source: tuple[str, ...],
    layer: str | None,
    repair: bool,
    changes: dict[str, Any],
    make_sources: MakeSources,
    seed_arguments: SeedArguments,
    scratch: str,
    as_json: bool,
    settings: Settings,
) -> None:
    """Make a layer from one or more rasters, or its next revision.

    SOURCE is any raster that GDAL opens, also in S3 (s3://BUCKET/KEY). Several rasters are the scenes of one layer.
    SOURCE may also stand for many: a folder, a quoted pattern or a prefix (s3://BUCKET/PREFIX/). Lists of rasters are
    text files (@FILE, or - for standard input), STAC item collections and tile indexes. The rasters are warped once
    into cloud-optimized GeoTIFFs on the tile grid. The same rasters with the same options change nothing; others
    become the layer's next revision.

    With --seed, render tiles afterwards, with the queue and the limits of `seed`. With --queue sqs, workers bake the
    rasters, publish the layer and render its tiles. The command returns when all is sent. Run the same command again
    after an interruption.

    \b
    Examples:
      seeder ingest ortho.tif
      seeder ingest ortho.tif --seed 0-17
      seeder ingest flight-may/ --layer ortho
      seeder ingest a.tif b.tif '2026/*.jp2' --layer ortho --overlap newest
      seeder ingest sentinel.tif --layer alps --bands 4,3,2 --rescale 0,3000 --format auto
      seeder ingest s3://my-rasters/dem.tif --layer shade --style hillshade
      seeder ingest s3://flights/may/ --layer may --queue sqs --seed 5-20
      seeder ingest flight-may/ --layer may --stack tile-seeder-dev --queue sqs --upload
      seeder ingest dem.tif --layer heights --colormap terrain --rescale 0,4000
    """
    from seeder.operations.ingest import affordable, created_stores, noting, options_to_ingest, plan_ingest, with_zooms
    from seeder.operations.ingest import ingest as ingest_raster
    from seeder.operations.scenes import name_from, read_to_ingest
    from seeder.operations.upload_scenes import Uploads
    from tiler.ingest.staging import Staging
    from tiler.storage.store import Stores

    name = check_layer(layer) if layer else name_from(source)
    staging = Staging(scratch, settings.temporary)
    report = TerminalReport()
    seeding = seed_arguments.seeding(name, settings)
    zooms = seeding.zooms if seeding else ()
    stored = Stores.open(settings).sources
    options = options_to_ingest(changes, name, stored)
    dry, budget = seed_arguments.limits.dry_run, seed_arguments.budget(settings)
    sources = make_sources(source, partial(Uploads, name, stored, staging, seed_arguments.jobs, dry))
    rasters, replaced = read_to_ingest(sources, name, options, stored, report, jobs=seed_arguments.jobs)
    approve = noting(replaced, report, with_zooms(name, zooms))
    terms: dict[str, Any] = {"zooms": zooms, "repair": repair, "budget": budget, "processes": seed_arguments.jobs}
    if dry:
        uploads = sources.upload is not None
        plan = plan_ingest(rasters, name, options, Stores.open(settings), report, uploads=uploads, **terms)
        if replaced:
            report.note(replaced)
        print_plan(plan, seeding, as_json=as_json)
        return
    checked = affordable(rasters, name, options, Stores.open(settings), report, approve, **terms)
    if seed_arguments.bake_queue(settings) and not (seeding and options.virtual):
        how, wait = seed_arguments.how(settings), seed_arguments.run_options.wait
        ready = bake_by_workers(
            checked, name, options, settings, how, approve, repair=repair, wait=wait, as_json=as_json
        )
        if ready:
            print_and_seed(ready, seeding, Stores.open(settings), as_json=as_json)
        return
    with created_stores(settings) as stores:
        done = ingest_raster(
            checked,
            name,
            options,
            stores,
            report,
            jobs=seed_arguments.jobs,
            staging=staging,
            repair=repair,
            approve=approve,
        )
    print_and_seed(done, seeding, stores, as_json=as_json)
