"""The zips of scripts/package-lambda: complete, lean, the same every time, and at work under Lambda's own Python."""

from __future__ import annotations

import ctypes
import os
import platform
import posixpath
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from tests.support.packaging import COMPILER, copy_of_the_project, package_lambda
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, scene, write_raster

MACHINES = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}
EXPAT = "rasterio.libs/libexpat.so.1"

# What Amazon Linux 2023 has without being asked: the parts of glibc, the run-time libraries of GCC, and zlib.
SYSTEM = {
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libz.so.1",
}
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7, 0, 0), "ZLIB": (1, 2, 11)}


NATIVE = {"Linux aarch64": "arm64", "Linux x86_64": "x86_64"}.get(f"{platform.system()} {platform.machine()}", "")
under_its_python = pytest.mark.skipif(not COMPILER or not NATIVE, reason="needs Linux and Python 3.13")


class Library(NamedTuple):
    """What the loader reads in a shared library."""

    machine: str
    needed: set[str]
    folders: list[str]  # in the zip, where it looks for them
    versions: set[str]  # as in GLIBC_2.28


def read_library(path: str, data: bytes) -> Library:
    """The library at `path` in the zip, read as the loader does: by its segments."""
    dynamic = dynamic_of(data)
    tags = [(tag.entry.d_tag, tag) for tag in dynamic.iter_tags()]
    searched = ":".join(tag.rpath if kind == "DT_RPATH" else tag.runpath for kind, tag in tags if kind.endswith("PATH"))
    return Library(
        dynamic.elffile["e_machine"],
        {tag.needed for kind, tag in tags if kind == "DT_NEEDED"},
        [posixpath.normpath(each.replace("$ORIGIN", posixpath.dirname(path))) for each in searched.split(":") if each],
        set(read_versions(dynamic, data)),
    )


def dynamic_of(data: bytes) -> DynamicSegment:
    """What a library has for the loader."""
    segments = ELFFile(BytesIO(data)).iter_segments()
    return next(segment for segment in segments if isinstance(segment, DynamicSegment))


def xml_symbols(data: bytes, *, defined: bool) -> set[str]:
    """The names of expat's functions that a library has, or that it wants."""
    symbols = dynamic_of(data).iter_symbols()
    return {
        symbol.name
        for symbol in symbols
        if symbol.name.startswith("XML_") and (symbol["st_shndx"] != "SHN_UNDEF") == defined
    }


def read_versions(dynamic: DynamicSegment, data: bytes) -> Iterator[str]:
    """The versions of symbols that a library asks of others."""
    _, at = dynamic.get_table_offset("DT_VERNEED")
    _, names = dynamic.get_table_offset("DT_STRTAB")
    following = at or 0
    while following:
        _, count, _, first, following = struct.unpack_from("<2H3I", data, at)
        item = at + first
        for _ in range(count):
            name, step = struct.unpack_from("<2I", data, item + 8)
            yield data[names + name : data.index(b"\0", names + name)].decode()
            item += step
        at += following


def unresolved(libraries: Mapping[str, Library], path: str, folders: list[str], seen: set[str]) -> Iterator[str]:
    """What `path` and what it needs look for and do not find. An RPATH holds for what a library loads, too."""
    seen.add(path)
    folders = libraries[path].folders + folders
    for name in sorted(libraries[path].needed - SYSTEM):
        found = next((f"{folder}/{name}" for folder in folders if f"{folder}/{name}" in libraries), None)
        if found is None:
            yield f"{posixpath.basename(path)} needs {name}"
        elif found not in seen:
            yield from unresolved(libraries, found, folders, seen)


def all_unresolved(libraries: Mapping[str, Library]) -> set[str]:
    """The same of every module that Python loads."""
    modules = [path for path in libraries if ".libs/" not in path]
    return {missing for module in modules for missing in unresolved(libraries, module, [], set())}


@pytest.fixture(scope="module")
def zips() -> dict[str, Path]:
    """Both zips, built from the tree as it is."""
    subprocess.run([ROOT / "scripts" / "package-lambda"], check=True)
    return {arch: ROOT / "dist" / f"lambda-{arch}.zip" for arch in MACHINES}


@pytest.fixture(scope="module", params=sorted(MACHINES))
def arch(request: pytest.FixtureRequest) -> str:
    """Each architecture."""
    return str(request.param)


@pytest.fixture(scope="module")
def members(zips: dict[str, Path], arch: str) -> dict[str, bytes]:
    """What the zip holds."""
    with ZipFile(zips[arch]) as opened:
        return {info.filename: opened.read(info) for info in opened.infolist()}


@pytest.fixture(scope="module")
def libraries(members: dict[str, bytes]) -> dict[str, Library]:
    """The shared libraries in the zip."""
    return {path: read_library(path, data) for path, data in members.items() if data.startswith(b"\x7fELF")}


@pytest.fixture(scope="module")
def unpacked(zips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip for this machine, unpacked."""
    folder = tmp_path_factory.mktemp("task")
    with ZipFile(zips[NATIVE]) as opened:
        opened.extractall(folder)
    return folder


def on_lambda(unpacked: Path, code: str, *arguments: str, **environ: str) -> str:
    """What `code` prints where only the standard library of Lambda's Python and the zip can be imported."""
    assert COMPILER
    start = f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(unpacked)!r})\n"
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    command = [COMPILER.path, "-S", "-I", "-c", start + code, *arguments]
    done = subprocess.run(command, env={**keys, **environ}, cwd=unpacked, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


# What is in them


def test_every_library_finds_what_it_needs(libraries: dict[str, Library]) -> None:
    assert all_unresolved(libraries) == set()


def test_libexpat_is_all_that_the_wheels_leave_to_the_system(libraries: dict[str, Library]) -> None:
    bare = {path: library for path, library in libraries.items() if path != EXPAT}
    (missing,) = all_unresolved(bare)
    assert re.fullmatch(r"libgdal-\w+\.so[.\d]* needs libexpat\.so\.1", missing)


def test_libexpat_has_all_that_gdal_wants_of_it(members: dict[str, bytes]) -> None:
    (gdal,) = (data for path, data in members.items() if path.startswith("rasterio.libs/libgdal-"))
    wanted = xml_symbols(gdal, defined=False)
    assert "XML_Parse" in wanted
    assert wanted <= xml_symbols(members[EXPAT], defined=True)


def test_no_library_wants_a_newer_system(libraries: dict[str, Library]) -> None:
    asked = {name for library in libraries.values() for name in library.versions}
    known = {tuple(name.split("_")) for name in asked if re.fullmatch(r"[A-Z]+_[\d.]+", name)}
    system = {(family, tuple(map(int, version.split(".")))) for family, version in known if family in NEWEST}
    assert {"GLIBC", "GLIBCXX"} <= {family for family, _ in system}
    assert {f"{family} {version}" for family, version in system if version > NEWEST[family]} == set()


def test_every_library_is_for_the_architecture(arch: str, libraries: dict[str, Library]) -> None:
    assert {library.machine for library in libraries.values()} == {MACHINES[arch]}


def test_the_zip_is_what_lambda_takes(members: dict[str, bytes]) -> None:
    assert sum(map(len, members.values())) < 250 * 1024 * 1024


def test_the_zip_holds_our_modules_as_they_are(members: dict[str, bytes]) -> None:
    ours = {
        path.relative_to(ROOT).as_posix(): path for name in ("tiler", "seeder") for path in (ROOT / name).glob("*.py")
    }
    assert {path: members.get(path) for path in ours} == {path: file.read_bytes() for path, file in ours.items()}


def test_nothing_in_the_zip_is_for_developers(members: dict[str, bytes]) -> None:
    useless = re.compile(r"(^|/)(tests|bin|include)/|\.(pyi|h|a|pyx|pxd)$|^(pip|setuptools|hypothesis|valhalla)")
    assert [path for path in members if useless.search(path) and "/licenses/" not in path] == []


def test_every_dependency_brings_its_licence(members: dict[str, bytes]) -> None:
    packages = {path.split("/")[0] for path in members if path.endswith(".dist-info/METADATA")}
    licensed = {path.split("/")[0] for path in members if re.search(r"\.dist-info/.*(LICEN[CS]E|COPYING)", path)}
    assert len(packages) == len(package_lambda.pins())
    assert {path.partition("-")[0] for path in packages - licensed} <= {"obstore"}  # its wheel has only METADATA


@pytest.mark.skipif(not COMPILER, reason="needs Python 3.13")
def test_every_module_is_compiled_and_names_its_place_on_lambda(members: dict[str, bytes]) -> None:
    for path in (path for path in members if path.endswith(".py")):
        folder, name = posixpath.split(path)
        code = members[posixpath.join(folder, "__pycache__", f"{name[:-3]}.cpython-313.pyc")]
        assert code[4:8] == b"\1\0\0\0", f"{path} is checked against its source"
        assert f"/var/task/{path}".encode() in code


def test_the_zip_tells_neither_when_nor_where_it_was_built(zips: dict[str, Path], arch: str) -> None:
    with ZipFile(zips[arch]) as opened:
        infos = opened.infolist()
    assert [info.filename for info in infos] == sorted({info.filename for info in infos})
    assert {(info.date_time, info.external_attr, info.create_system) for info in infos} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644 << 16, 3)
    }


def test_another_folder_umask_time_zone_and_hash_seed_give_the_same_bytes(
    zips: dict[str, Path], tmp_path: Path
) -> None:
    project = copy_of_the_project(tmp_path / "a folder elsewhere")
    (tmp_path / "temporary").mkdir()
    subprocess.run(
        [sys.executable, project / "scripts" / "package_lambda.py", "arm64"],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"},
        umask=0o077,
        check=True,
    )
    assert (project / "dist" / "lambda-arm64.zip").read_bytes() == zips["arm64"].read_bytes()


# What they do, under Lambda's Python


@under_its_python
@pytest.mark.parametrize("handler", ["tiler.http", "seeder.workers.lambda_handler"])
def test_a_handler_can_be_imported(unpacked: Path, handler: str) -> None:
    code = "import importlib; print(callable(importlib.import_module(sys.argv[1]).handler))"
    assert on_lambda(unpacked, code, handler) == "True"


@under_its_python
def test_the_redirect_path_does_not_import_boto3(unpacked: Path) -> None:
    code = "import tiler.http; print({'boto3', 'botocore', 'rasterio'} & set(sys.modules))"
    assert on_lambda(unpacked, code) == "{'rasterio'}"


FILL = """
import sys
from mercantile import Tile
from tiler.layers.catalog import load_layer
from tiler.layers.fill import Request, fill
from tiler.grid import Block, tile_ranges
from tiler.keys import FORMATS
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

stores = Stores.open(Settings.from_env({}, data=sys.argv[1]), create=True)
layer = load_layer(stores.sources, "alps")
for zoom in (8, 11):  # of the parts, and past their last zoom, where they are enlarged
    (tiles,) = tile_ranges(layer.bounds, zoom)
    block = Block.of(Tile(x=tiles.x0, y=tiles.y0, z=zoom))
    mask = sum(block.bit(tile) for tile in block.tiles() if tile in tiles)
    for scale in (1, 2):
        for format in FORMATS:
            outcome = fill(layer, stores, Request(block, mask, TileVariant(scale, format)))
            assert not outcome.error and outcome.written, outcome
"""


def tiles_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@under_its_python
def test_the_zip_renders_the_tiles_that_the_project_renders(unpacked: Path, alps_data: Path, tmp_path: Path) -> None:
    here, there = (shutil.copytree(alps_data, tmp_path / name) for name in ("here", "there"))
    subprocess.run([sys.executable, "-c", FILL, here], cwd=ROOT, check=True)
    on_lambda(unpacked, FILL, str(there))
    assert len(tiles_in(here / "tiles")) > 6
    assert tiles_in(there / "tiles") == tiles_in(here / "tiles")


BAKE = """
import sys
from tiler.ingest.ingest import ingest
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

stores = Stores.open(Settings.from_env({}, data=sys.argv[1]), create=True)
ingest(sys.argv[2], "scene", Options(), stores, jobs=1, progress=lambda *_: None)
"""


@under_its_python
def test_the_zip_bakes_the_parts_that_the_project_bakes(unpacked: Path, tmp_path: Path) -> None:
    path = str(write_raster(tmp_path / "scene.tif", Recipe(values=scene(900, 700))))
    os.utime(path, (0, 0))  # the fingerprint of a new file has its content, later its time
    subprocess.run([sys.executable, "-c", BAKE, tmp_path / "here", path], cwd=ROOT, check=True)
    on_lambda(unpacked, BAKE, str(tmp_path / "there"), path)
    here, there = (tiles_in(tmp_path / name / "private" / "sources" / "scene" / "parts") for name in ("here", "there"))
    assert here == there
    assert len(here) > 1


@under_its_python
def test_the_zip_has_what_a_bake_asks_of_aws(unpacked: Path) -> None:
    """Large parts are uploaded, scenes are listed, tiles are renewed, and a distribution is invalidated."""
    code = """
import boto3, s3transfer.manager
import seeder.cache.cloudfront, seeder.operations.renew, tiler.scenes.s3_sources, tiler.storage.upload
for service, does in (("s3", "upload_part"), ("cloudfront", "create_invalidation"), ("sqs", "send_message")):
    client = boto3.client(service, region_name="us-east-1")
    print(service, client.meta.service_model.api_version, callable(getattr(client, does)))
"""
    found = on_lambda(unpacked, code).splitlines()
    assert found == ["s3 2006-03-01 True", "cloudfront 2020-05-31 True", "sqs 2012-11-05 True"]


@under_its_python
def test_the_zip_answers_a_request_for_a_tile(unpacked: Path, alps_data: Path, tmp_path: Path) -> None:
    data = shutil.copytree(alps_data, tmp_path / "data")
    code = """
import tiler.http
event = {"rawPath": "/alps/7/66/45.png", "requestContext": {"http": {"method": "GET"}}}
print(tiler.http.handler(event, None)["statusCode"])
"""
    assert on_lambda(unpacked, code, TILER_DATA=str(data)).splitlines()[-1] == "302"
    assert (data / "tiles" / "alps" / "7" / "66" / "45.png").read_bytes().startswith(b"\x89PNG")


@under_its_python
def test_the_zip_sends_to_a_queue(unpacked: Path, s3_server: str) -> None:
    code = """
import boto3
queue = boto3.client("sqs", endpoint_url=sys.argv[1])
url = queue.create_queue(QueueName="blocks")["QueueUrl"]
sent = queue.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "block"} for n in range(10)])
waiting = queue.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
print(len(sent["Successful"]), *waiting.values())
"""
    assert on_lambda(unpacked, code, s3_server) == "10 10"


@under_its_python
def test_the_zip_knows_whom_to_trust(unpacked: Path) -> None:
    code = "import certifi, pathlib; print(pathlib.Path(certifi.where()).read_text().count('BEGIN CERTIFICATE') > 99)"
    assert on_lambda(unpacked, code) == "True"


@pytest.mark.skipif(not NATIVE, reason="needs Linux")
def test_the_libexpat_in_the_zip_is_expat(unpacked: Path) -> None:
    expat = ctypes.CDLL(str(unpacked / EXPAT))
    expat.XML_ExpatVersion.restype = ctypes.c_char_p
    expat.XML_ParserCreate.restype = ctypes.c_void_p
    parser = ctypes.c_void_p(expat.XML_ParserCreate(None))
    assert expat.XML_ExpatVersion() == b"expat_2.5.0"
    assert expat.XML_Parse(parser, b"<a><b/></a>", 11, 1) == 1
    expat.XML_ParserFree(parser)
