"""Store URLs: valid ones open, others are rejected with a message."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import S3Store

from tiler.errors import BadStore, MissingObject
from tiler.settings import S3
from tiler.storage.store import open_store


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relief",
        "/srv/tiles",
        "file://",
        "file://host/srv/tiles",
        "file:tiles",
        "s3://",
        "s3:///prefix",
        "s3:bucket",
        "s3://bucket/a//b",
        "s3://[bucket",
        "file://[srv",
        "gs://bucket/prefix",
        "https://bucket.s3.amazonaws.com/prefix",
        "C:\\tiles",
    ],
)
@pytest.mark.parametrize("create", [False, True])
def test_a_url_that_names_no_store_is_refused_in_one_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, create: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadStore) as caught:
        open_store(url, create=create)
    assert caught.value.url == url
    assert str(caught.value).startswith(f"cannot use {url} as a store: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_is_told_the_known_ones() -> None:
    with pytest.raises(BadStore, match=r"file://.*s3://.*memory://"):
        open_store("gs://bucket/prefix")


@pytest.mark.parametrize("create", [False, True])
def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path, *, create: bool) -> None:
    (tmp_path / "tiles").write_text("no folder")
    with pytest.raises(BadStore, match=str(tmp_path / "tiles")):
        open_store((tmp_path / "tiles").as_uri(), create=create)
    assert (tmp_path / "tiles").read_text() == "no folder"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadStore, match=f"Not a directory: {tmp_path}/file") as caught:
        open_store((tmp_path / "file" / "tiles").as_uri(), create=True)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_refused_only_to_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tile.json").write_bytes(b"{}")
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # noqa: ARG005 - root may do all
    with pytest.raises(BadStore, match=f"no permission to write in {tmp_path}"):
        open_store(tmp_path.as_uri(), create=True)
    assert open_store(tmp_path.as_uri()).get("tile.json") == b"{}"


def test_a_missing_folder_reads_as_empty_and_is_not_made(tmp_path: Path) -> None:
    store = open_store((tmp_path / "none" / "tiles").as_uri())
    with pytest.raises(MissingObject):
        store.get("relief/9.png")
    assert not store.has("relief/9.png")
    assert not [*store.list(""), *store.folders(""), *store.existing(["relief/9.png"])]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_made_for_writers(tmp_path: Path) -> None:
    folder = tmp_path / "a name, 100% odd #1 ü" / "tiles"
    store = open_store(folder.as_uri(), create=True)
    store.put("relief/9@2x.png", b"x", content_type="image/png")
    assert store.root == folder
    assert (folder / "relief" / "9@2x.png").read_bytes() == b"x"
    assert open_store(folder.as_uri()).get("relief/9@2x.png") == b"x"


def test_one_memory_url_is_one_store() -> None:
    open_store("memory://one").put("a.json", b"1", content_type="application/json")
    assert open_store("memory://one").get("a.json") == b"1"
    assert not open_store("memory://other").has("a.json")


@given(st.floats(0.1, 600))
def test_a_request_is_tried_again_for_as_long_as_there_is_patience_and_no_longer(patience: float) -> None:
    """Retries are limited by time, not number: S3 throttles for minutes, and fences depend on the time."""
    backend = open_store("s3://tiles", s3=S3("http://127.0.0.1:9", patience=patience)).backend
    assert isinstance(backend, S3Store)
    said: Any = backend.retry_config
    timeout, wait = said["retry_timeout"].total_seconds(), said["backoff"]["max_backoff"].total_seconds()
    assert timeout + wait == pytest.approx(patience, abs=1e-4)
    assert timeout >= 0.7 * patience
    assert wait * said["max_retries"] > 5 * patience, "their number ends the tries"
