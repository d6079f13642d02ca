"""Profiles of AWS without keys in the environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from tiler.storage import access

PROFILE = "maps"


@dataclass(frozen=True)
class Profiles:
    """A file of profiles, of which `maps` is chosen; boto3 finds no other credentials."""

    folder: Path

    def write(self, settings: str) -> dict[str, str]:
        """Write the profile; return the environment that names it."""
        (self.folder / "config").write_text(f"[profile {PROFILE}]\n{settings}\n")
        return {"AWS_CONFIG_FILE": str(self.folder / "config"), "AWS_PROFILE": PROFILE}

    def issue_keys(self, *, minutes: float, settings: str = "", key: str = "", secret: str = "s") -> dict[str, str]:
        """Write a profile whose process issues keys that expire in `minutes`: `key`, or another one each time."""
        expiry = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
        issued = {"Version": 1, "SecretAccessKey": secret, "Expiration": expiry}
        script, log = self.folder / "issue.sh", self.folder / "issued"
        named = key or f"KEY$(wc -c < {log} | tr -d ' ')"
        fields = json.dumps(issued)[1:].replace('"', '\\"')
        script.write_text(f'printf x >> {log}\necho "{{\\"AccessKeyId\\": \\"{named}\\", {fields}"\n')
        return self.write(f"credential_process = /bin/sh {script}\n{settings}")


def without_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """Profiles in `folder`, and no credentials elsewhere."""
    profiles = Profiles(folder)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in profiles.write("output = json").items():
        monkeypatch.setenv(name, value)
    access.session.cache_clear()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # boto3's own, of the test alone
    return profiles
