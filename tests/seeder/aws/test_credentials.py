"""Credentials for a bucket come from the places of every AWS tool; without any, the error says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.aws import clients
from tests.e2e.proxy import Proxy
from tiler.errors import BadStore
from tiler.settings import Settings
from tiler.storage.store import open_store


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No keys in the environment, no role of the machine, and an empty file of profiles."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    profiles = tmp_path / "credentials"
    profiles.write_text("")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return profiles


def test_a_profile_opens_a_bucket(s3_url: str, no_keys: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile store from `Settings` finds the keys by the profile's name alone."""
    no_keys.write_text("[maps]\naws_access_key_id = from-the-profile\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_PROFILE", "maps")
    environ = {"AWS_ENDPOINT_URL_S3": proxy.url, "AWS_REGION": "us-east-1", "TILER_TILES": s3_url}
    settings = Settings.from_env(environ, data=None)
    assert not settings.s3.keys
    store = open_store(settings.tiles, s3=settings.s3)
    store.put("relief/1.png", b"tile", content_type="image/png")
    assert store.get("relief/1.png") == b"tile"
    assert proxy.requests


def test_a_bucket_without_credentials_is_refused_with_the_cure(no_keys: Path) -> None:
    assert no_keys.read_text() == ""
    settings = Settings.from_env({"AWS_REGION": "us-east-1", "TILER_TILES": "s3://nobodys-bucket"}, data=None)
    with pytest.raises(BadStore, match="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_store(settings.tiles, s3=settings.s3)


def test_a_request_of_a_client_is_tried_six_times() -> None:
    """The first one counts."""
    assert clients.client("sqs", "us-east-1").meta.config.retries["total_max_attempts"] == 6
