"""Profiles of AWS without keys in the environment."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
        script = self.folder / "issue.py"
        script.write_text(
            "import json, pathlib\n"
            f"log = pathlib.Path({str(self.folder / 'issued')!r})\n"
            "with log.open('a') as file: file.write('x')\n"
            f"key = {key!r} or f'KEY{{log.stat().st_size}}'\n"
            f"print(json.dumps({json.dumps(issued)} | {{'AccessKeyId': key}}))\n"
        )
        return self.write(f"credential_process = {sys.executable} {script}\n{settings}")


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
    return profiles
