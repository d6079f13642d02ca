"""Credentials and server of S3 are those of boto3, renewed before they expire."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import boto3
import pytest

from tests.e2e.proxy import REFUSALS, Fault, Proxy
from tests.support.credentials import Profiles
from tiler.errors import BadStore, StoreError
from tiler.settings import S3, Settings
from tiler.storage import access
from tiler.storage.store import open_store

SERVERS = {
    "of the profile": "endpoint_url = http://maps.test:9000",
    "of S3 in the profile": "endpoint_url = http://all.test\nservices = own\n[services own]\ns3 =\n  endpoint_url = http://s3.test",
    "of other services": "services = own\n[services own]\nsqs =\n  endpoint_url = http://sqs.test",
    "ignored": "endpoint_url = http://maps.test:9000\nignore_configured_endpoint_urls = true",
    "none": "output = json",
}


@pytest.mark.parametrize(("server", "keys"), [*((server, False) for server in SERVERS), ("of the profile", True)])
def test_a_store_has_the_server_and_region_that_boto3_has(
    server: str, keys: bool, profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = profiles.write(f"region = eu-west-3\naws_access_key_id = a\naws_secret_access_key = b\n{SERVERS[server]}")
    if keys:
        environ |= {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env"}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
    client = boto3.Session().client("s3").meta
    truth = client.endpoint_url
    store = open_store("s3://tiles", s3=Settings.from_env(environ).s3)
    assert store.s3.region == client.region_name == "eu-west-3"
    assert store.s3.endpoint == ("" if truth.endswith(".amazonaws.com") else truth)


def test_the_environment_s_server_comes_first(profiles: Profiles) -> None:
    environ = profiles.write("endpoint_url = http://maps.test:9000")
    s3 = Settings.from_env({**environ, "AWS_ENDPOINT_URL_S3": "http://own.test"}).s3
    assert access.completed(s3).endpoint == "http://own.test"


def test_a_process_without_a_file_of_profiles_never_loads_boto3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a Lambda, which has keys and region in its environment."""
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": str(tmp_path / "none")}
    monkeypatch.setitem(sys.modules, "boto3", None)  # an import fails
    access.session.cache_clear()
    assert open_store("s3://tiles", s3=Settings.from_env(environ).s3).s3.endpoint == ""


def test_keys_that_soon_expire_are_renewed_and_others_are_kept(profiles: Profiles) -> None:
    profiles.issue_keys(minutes=9)  # botocore renews keys that expire within ten
    first, second = access.gdal_keys(), access.gdal_keys()
    assert first["AWS_ACCESS_KEY_ID"] != second["AWS_ACCESS_KEY_ID"]
    access.session.cache_clear()
    profiles.issue_keys(minutes=60)
    assert access.gdal_keys() == access.gdal_keys()


def test_an_assumed_role_is_assumed_once_by_all_processes(
    profiles: Profiles, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each worker would prompt for an MFA code."""
    monkeypatch.setenv("HOME", str(tmp_path))
    user = "aws_access_key_id = user\naws_secret_access_key = s"
    server = f"region = us-east-1\nendpoint_url = {proxy.url}"
    profiles.write(f"role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = u\n{server}\n[profile u]\n{user}")
    first = access.gdal_keys()
    access.session.cache_clear()  # as another process
    assert access.gdal_keys() == first
    assert first["AWS_ACCESS_KEY_ID"] != "user"
    assert proxy.requests.total() == 1


def test_obstore_keeps_keys_no_longer_than_they_are_valid(profiles: Profiles) -> None:
    """Any keys of botocore are valid for at least ten minutes."""
    profiles.issue_keys(minutes=60)
    assert access.provider().ttl.total_seconds() <= 600


@pytest.mark.parametrize(
    ("profile", "cure"),
    [
        (
            "sso_start_url = https://x.test\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = r",
            "run `aws sso login`",
        ),
        ("credential_process = /bin/false", "check the profile"),
        ("role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = gone", "set AWS_PROFILE"),
        ("output = json", "set AWS_PROFILE, or AWS_ACCESS_KEY_ID"),
    ],
    ids=["SSO", "process", "role", "nothing"],
)
def test_credentials_that_cannot_be_had_are_one_line_with_the_cure(
    profile: str, cure: str, profiles: Profiles, caplog: pytest.LogCaptureFixture
) -> None:
    environ = profiles.write(profile)
    with caplog.at_level(logging.WARNING), pytest.raises(BadStore) as caught:
        open_store("s3://tiles", s3=Settings.from_env(environ).s3)
    assert cure in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not caplog.records


@pytest.mark.parametrize(
    ("code", "more", "cure"),
    [
        ("ExpiredToken", "", "run `aws sso login`"),
        ("AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>", "set AWS_REGION to eu-west-3"),
    ],
)
def test_a_store_s_refusal_names_the_cure(
    code: str, more: str, cure: str, s3_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REFUSALS, "denied", (400, code, f"Refused</Message>{more}<Message>"))
    proxy.add(Fault("denied"))
    with pytest.raises(StoreError, match=cure) as caught:
        open_store(s3_url, s3=S3(proxy.url, "us-east-1", patience=1)).get("tile.json")
    assert "\n" not in str(caught.value)
