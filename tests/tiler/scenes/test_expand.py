"""Sources of an ingest as scenes: each kind, its order, and one line with the cure for each mistake."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import LONG, examples
from tests.support.sources import collection, paths, raster, refusal, saved, touched
from tiler.raster.datasets import opened
from tiler.scenes.expand import expand
from tiler.scenes.scene import Listed

MANY = 10_000 if LONG else 1000
NAMES = st.text("ab.-_ é*[", min_size=1, max_size=4).filter(
    lambda name: not name.startswith(".") and name.strip() == name
)
SUFFIXES = st.sampled_from([".tif", ".TIF", ".jp2", ".tif.ovr", ".tif.aux.xml", ".tfw", ".txt", ".vrt", ".png"])
PATHS = st.lists(
    st.tuples(st.lists(NAMES, max_size=2), NAMES, SUFFIXES).map(lambda path: "/".join([*path[0], path[1] + path[2]])),
    min_size=1,
    max_size=8,
)


# Files and folders


def test_a_raster_stays_as_it_is_and_a_relative_path_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = raster(tmp_path / "a.tif")
    monkeypatch.chdir(tmp_path)
    assert expand(["a.tif"]) == (Listed(str(file), str(file)),)
    assert paths(file) == paths(f"file://{file}") == [str(file)]
    assert opened(paths("a.tif")[0]).width == 4


@pytest.mark.parametrize(
    "name", ["s3://bucket/a.tif", "https://example.com/a.tif", 'NETCDF:"a.nc":height', "/vsizip/a.zip/a.tif", "no.tif"]
)
def test_another_name_for_gdal_stays_as_it_is(name: str) -> None:
    assert expand([name]) == (Listed(name, name),)


def test_a_vrt_stays_one_raster(tmp_path: Path) -> None:
    (file,) = touched(tmp_path, "all.vrt")
    assert paths(file) == [file]


def test_a_folder_gives_its_rasters_and_those_below_sorted_without_sidecars_and_hidden_ones(tmp_path: Path) -> None:
    kept = touched(tmp_path, "A.TIF", "b/c.jp2", "b.tif", "b/d/e.png")
    others = ("a.tif.ovr", "a.tif.aux.xml", "a.tfw", "a.tif.msk", ".b.tif", "._b.tif", ".git/c.tif", "all.vrt", "x.gti")
    touched(tmp_path, *others, "README.txt")
    assert paths(tmp_path) == sorted(kept)


def test_a_folder_may_lead_to_itself_and_to_others_by_links(tmp_path: Path) -> None:
    (file,) = touched(tmp_path, "flight/a.tif")
    (far,) = touched(tmp_path, "far/b.tif")
    (tmp_path / "flight" / "again").symlink_to(tmp_path / "flight")
    (tmp_path / "flight" / "up").symlink_to(tmp_path / "flight" / "again")
    (tmp_path / "flight" / "0").symlink_to(tmp_path / "far")
    (tmp_path / "flight" / "1").symlink_to(tmp_path / "far")
    (tmp_path / "flight" / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    assert paths(tmp_path / "flight") == [str(tmp_path / "flight/0/b.tif"), file]
    assert paths(far, tmp_path / "flight") == [str(tmp_path / "flight/0/b.tif"), file]


def test_a_folder_that_is_a_raster_is_one(tmp_path: Path) -> None:
    touched(tmp_path, "grid/hdr.adf", "grid/w001001.adf", "grid/b.tif", "a.tif")
    assert paths(tmp_path / "grid") == [str(tmp_path / "grid")]
    assert paths(tmp_path) == [str(tmp_path / "a.tif"), str(tmp_path / "grid")]


def test_what_is_named_twice_comes_once_at_its_last_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = touched(tmp_path, "a.tif", "b.tif", "c.tif")
    (tmp_path / "link.tif").symlink_to(a)
    monkeypatch.chdir(tmp_path)
    assert paths(b, "a.tif", c, b) == [a, c, b]
    assert paths(a, b, "link.tif") == [b, str(tmp_path / "link.tif")]
    assert paths(a, "s3://x/a.tif", a, "s3://x/a.tif") == [a, "s3://x/a.tif"]


@settings(max_examples=examples(25))
@given(PATHS)
def test_a_folder_is_the_list_of_its_files_in_sorted_order(names: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for each in names:
            file = folder / each
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"x")
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue
        files = sorted(
            str(each)
            for each in folder.rglob("*")
            if each.suffix.lower() in {".tif", ".jp2", ".png"} and each.is_file()
        )
        if not files:
            assert "no raster" in refusal(folder)
            return
        expected = expand([str(folder)])
        assert expand(files) == expected
        listed = folder / "list.txt"
        listed.write_text("\n".join(files))
        assert expand([f"@{listed}"]) == expected
        assert expand(["-"], stdin=io.StringIO("\n".join(files))) == expected


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many files, and the list of them."""
    folder = tmp_path_factory.mktemp("many")
    files = touched(folder, *(f"{number % 10}/scene-{number:05}.tif" for number in range(MANY)))
    (folder / "list.txt").write_text("\n".join(files))
    return folder


@pytest.mark.parametrize("source", ["{}", "{}/*/*.tif", "@{}/list.txt"])
def test_ten_thousand_files_take_less_than_a_second(many: Path, source: str) -> None:
    start = time.process_time()
    assert len(expand([source.format(many)])) == MANY
    assert time.process_time() - start < 2 * MANY / 10_000  # twice as long, if others keep the processor busy


# Patterns


def test_a_pattern_gives_what_a_shell_would_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "f/a.tif", "f/b.tif", "f/c.jp2", "f/.d.tif", "f/g/e.tif", "f/notes.txt", "f/a.tif.ovr", "f/x.dat")
    monkeypatch.chdir(tmp_path)

    def below(pattern: str) -> list[str]:
        return [str(Path(each).relative_to(tmp_path / "f")) for each in paths(pattern)]

    assert below("f/*.tif") == below(f"{tmp_path}/f/*.tif") == below("./f/[ab].tif") == ["a.tif", "b.tif"]
    assert below("f/?.tif") == below("f/[!x].tif") == below("*/*.tif") == ["a.tif", "b.tif"]
    assert below("f/*") == ["a.tif", "b.tif", "c.jp2"]
    assert below("f/**") == below("**") == below("f/**/*") == ["a.tif", "b.tif", "c.jp2", "g/e.tif"]
    assert below("f/**/*.tif") == ["a.tif", "b.tif", "g/e.tif"]
    assert below("f/*.dat") == ["x.dat"]


def test_a_file_that_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    (file, _) = touched(tmp_path, "a[1].tif", "a1.tif")
    assert paths(file) == [file]


# Text lists


def test_a_text_list_has_a_name_a_line_comments_and_blank_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = touched(tmp_path, "flight/a #1.tif", "b.tif")
    text = f"\ufeff# flights\r\n\r\n  a #1.tif  \r\n\t# no\r\n{b}\r\ns3://bucket/c.tif\r\nhttps://x.org/d.tif?sig=1\r\ne.tif"
    (tmp_path / "flight" / "list.txt").write_text(text, newline="")
    monkeypatch.chdir(tmp_path)
    found = expand(["@flight/list.txt"])
    missing = str(tmp_path / "flight" / "e.tif")
    assert [each.path for each in found] == [a, b, "s3://bucket/c.tif", "https://x.org/d.tif?sig=1", missing]
    assert found[3].address == "https://x.org/d.tif"
    assert paths("-", stdin=io.StringIO("b.tif\n")) == [b]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/vsis3/bucket/a.tif", "a special name"),
        ("/vsicurl/https://x.org/a.tif?sig=SECRET", "a special name"),
        ("/vsizip//vsicurl/https://x.org/a.zip/a.tif", "a special name"),
        ('NETCDF:"https://x.org/a.nc":v', "a special name"),
        ("vrt://s3://bucket/a.tif", "a special name"),
        ("<VRTDataset/>", "a VRT instead of a file name"),
        ("vrt://<VRTDataset/>", "a VRT instead of a file name"),
    ],
)
def test_a_text_list_names_no_special_files_unless_it_is_trusted(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "list.txt").write_text(line)
    message = refusal(f"@{tmp_path}/list.txt")
    assert why in message
    assert "--trust-source" in message
    assert "SECRET" not in message
    assert len(expand([f"@{tmp_path}/list.txt"], trusted=True)) == 1


@pytest.mark.parametrize(
    "line", ["flight", "flight/*.tif", "s3://b/p/", "s3://b/*.tif", "@other.txt", "-", "a.geojson"]
)
def test_a_line_is_one_raster(tmp_path: Path, line: str) -> None:
    touched(tmp_path, "flight/a.tif")
    (tmp_path / "list.txt").write_text(line)
    assert "as a source of its own" in refusal(f"@{tmp_path}/list.txt")


# Mistakes


def make_unreadable(folder: Path) -> str:
    (folder / "list.txt").write_bytes("é.tif".encode("latin-1"))
    return f"@{folder}/list.txt"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (lambda _: "", "empty"),
        (str, "no raster in this folder"),
        (lambda folder: f"{folder}/*.tif", "no raster matches"),
        (lambda folder: f"{folder}/no/*.tif", "no folder"),
        (lambda folder: f"@{folder}/no.txt", "cannot be read (No such file"),
        (lambda _: "@", "add the name of a file"),
        (lambda folder: f"@{folder}", "add the name of a file"),
        (lambda folder: f"@{touched(folder, 'sub/list.txt')[0]}", ""),
        (make_unreadable, "UTF-8"),
        (lambda folder: str(saved(folder / "a.json", [])), "no list of scenes"),
        (lambda folder: str(saved(folder / "a.json", {"type": "Point"})), "no list of scenes"),
        (lambda folder: str(saved(folder / "a.json", collection())), "the list is empty"),
        (lambda folder: str(saved(folder / "a.json", collection({"type": "Feature"}))), "feature 1 has no property"),
        (lambda folder: str(saved(folder / "a.json", {"type": "Catalog"})), "a STAC Catalog without items"),
        (lambda folder: touched(folder, "a.json")[0], "not readable JSON"),
        (lambda folder: touched(folder, "a.gti")[0], ""),
        (lambda folder: os.mkfifo(folder / "a.tif") or f"{folder}/a.tif", "a named pipe"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_the_cure(tmp_path: Path, source: Callable[[Path], str], why: str) -> None:
    made = source(tmp_path)
    if why:
        assert why in refusal(made)
    else:
        assert paths(made)  # another kind of file is a raster, which its header will tell


def test_an_empty_list_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# nothing\n\n")
    assert "the list is empty" in refusal(f"@{tmp_path}/list.txt")
    assert "the list is empty" in refusal("-", stdin=io.StringIO(""))


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "a.tif", "b/c.tif")
    real = os.scandir

    def refused(path: str) -> Any:
        if path.endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)  # root may read all folders
    assert f"the folder {tmp_path}/b cannot be read (Permission denied)" in refusal(tmp_path)


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.tif")).write_bytes(b"x")
    assert "not UTF-8" in refusal(tmp_path)
