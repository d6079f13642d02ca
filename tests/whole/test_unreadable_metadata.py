"""Layer metadata that is there and cannot be read: every reader says so in one line, and nothing changes."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from seeder.jobs.messages import Message
from seeder.workers import lambda_handler
from seeder.workers.lambda_handler import Redeliver, handle_record
from seeder.workers.process_block import Worker
from tests.support.commands import seeder
from tests.support.function import planned
from tests.support.oracle import files_under
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.served import ask, serving
from tests.support.site import Site
from tiler import timing
from tiler.layers.version import METADATA
from tiler.settings import Settings
from tiler.storage import store
from tiler.storage.store import Stores

INDEX = "sources/alps/index.json"
LAYER = "alps"
ONE = ("--jobs", "1")
READERS = (  # commands that read a layer
    ("ingest", "{raster}", "--layer", LAYER, *ONE),
    ("seed", LAYER, "--zooms", "5", *ONE),
    ("refresh", LAYER, "--yes", *ONE),
    ("refresh", LAYER, "{raster}", "--yes", *ONE),
    ("refresh", LAYER, "{raster}", "--dry-run"),
    ("rollback", LAYER, "--yes", *ONE),
    ("rollback", LAYER, "--to", "0123456789ab", "--yes", *ONE),
    ("invalidate", LAYER, "--all", "--yes"),
    ("invalidate", LAYER, "--all", "--reseed", "--yes", *ONE),
    ("remove", LAYER, "--old-revisions", "--confirm", LAYER),
    ("publish-preview", LAYER),
    ("layers",),
    ("count", LAYER),
    ("list", LAYER),
    ("verify", LAYER),
    ("export", LAYER, "{tmp}/alps.pmtiles"),
    ("status", LAYER),
    ("resume", LAYER, *ONE),
)


@dataclass(frozen=True)
class Kind:
    """A kind of unreadable metadata: its bytes (None: reading is denied), the exit code, the error, HTTP's status."""

    data: bytes | None
    code: int
    error: str
    status: int = 502


KINDS = {
    "corrupt": Kind(b'{"version": 1, "id": "alps"', 1, f"invalid layer metadata in {INDEX}"),
    "torn": Kind(b"", 1, f"invalid layer metadata in {INDEX}"),
    "newer": Kind(
        f'{{"version": {METADATA + 1}}}'.encode(),
        2,
        f"{INDEX} has metadata version {METADATA + 1}, this program reads {METADATA}: upgrade",
        503,
    ),
    "denied": Kind(None, 1, f"cannot read {INDEX}: [Errno 13]"),
}


@dataclass(frozen=True)
class Ground:
    """A data folder whose layer `alps` became unreadable after a job was planned, and a message of that job."""

    kind: Kind
    data: Path
    message: Message

    @property
    def settings(self) -> Settings:
        """The settings of the folder."""
        return Settings.from_env({}, data=str(self.data))


@pytest.fixture(params=KINDS)
def ground(request: pytest.FixtureRequest, alps_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """A ground of each kind; no test changes its files."""
    kind = KINDS[request.param]
    ground = Ground(kind, alps_copy, next(planned(alps_copy).messages((8,))))
    if kind.data is None:  # permissions do not bind the user of CI, who is root
        monkeypatch.setattr(store.obstore, "get", partial(denied, store.obstore.get))
    else:
        (alps_copy / "private" / INDEX).write_bytes(kind.data)
    before = files_under(alps_copy)
    yield ground
    assert files_under(alps_copy) == before


def denied(get: Callable[..., Any], backend: Any, path: str, **options: Any) -> Any:
    """Read an object, unless it is the layer's metadata."""
    if path == INDEX:
        raise PermissionError(13, "Permission denied")
    return get(backend, path, **options)


def test_every_command_ends_with_one_line_and_changes_nothing(ground: Ground, tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "other.tif", Recipe(values=scene(64, 64)))
    for words in READERS:
        result = seeder(*(word.format(raster=raster, tmp=tmp_path) for word in words))
        assert result.exit_code == ground.kind.code, (words, result.output)
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert ground.kind.error in line, words
        assert result.stdout == "", words


def test_doctor_reports_it(ground: Ground) -> None:
    result = seeder("doctor")
    assert result.exit_code == 1
    assert ground.kind.error in result.output


def test_a_removal_needs_no_sound_metadata_but_leaves_a_newer_layer_alone(ground: Ground) -> None:
    result = seeder("remove", LAYER, "--dry-run")
    removable = ground.kind.error.startswith("invalid")
    assert result.exit_code == (0 if removable else ground.kind.code)
    assert removable or ground.kind.error in result.stderr


def test_the_function_answers_with_an_error_that_is_not_cached_and_renders_nothing(ground: Ground) -> None:
    stores = Stores.open(ground.settings)
    for path in ("/alps/7/66/45.png", "/alps/tile.json"):
        answer = Site.on(stores.tiles, stores.sources).ask(path)
        assert (answer.status, answer.headers["Cache-Control"]) == (ground.kind.status, "no-store")
        assert INDEX not in answer.message
        assert ("npm run deploy" in answer.message) == (ground.kind.status == 503)


def test_the_local_server_answers_with_the_error(ground: Ground) -> None:
    with serving(ground.settings) as url:
        for path in ("alps/tile.json", "alps/wmts.xml", "wmts.xml", "_/layers", "_/layers/alps", "_/coverage/alps"):
            answer = ask(f"{url}/{path}")
            assert (answer.status, answer.headers["Cache-Control"]) == (ground.kind.status, "no-store"), path
            assert ground.kind.error in answer.json()["message"]


def test_the_worker_returns_the_message_with_the_error_and_no_traceback(ground: Ground) -> None:
    worker, logged = Worker.open(ground.settings), io.StringIO()
    handler = next(each for each in lambda_handler.log.handlers if isinstance(each, logging.StreamHandler))
    before = handler.setStream(logged)
    try:
        result = handle_record(worker, ground.message.encode(), 1)
    finally:
        handler.setStream(before)
    assert result == Redeliver(timing.RETRY_DELAYS_SECONDS[0])
    (line,) = map(json.loads, logged.getvalue().splitlines())
    assert (line["level"], line["message"]) == ("WARNING", "returned")
    assert ground.kind.error in line["error"]
    assert "exception" not in line
