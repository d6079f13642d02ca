"""Rasters in a real S3 server, which checks signatures, and the region of a deployment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seeder.cli.main import main
from tests.e2e.s3 import S3
from tests.e2e.serverless import lay_out, serverless
from tests.support.credentials import Profiles, without_keys
from tests.support.damaged import cogs
from tests.support.rasters import Recipe, scene, write_raster
from tiler.storage import access

Run = Callable[..., Result]


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    return without_keys(tmp_path, monkeypatch)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def test_a_profile_s_keys_read_a_private_bucket_and_anybody_a_public_one(
    s3: S3, profiles: Profiles, run: Run, tmp_path: Path
) -> None:
    """Workers of a bake sign, too."""
    private, client = s3.private_bucket(), s3.client()
    file = write_raster(tmp_path / "relief.tif", Recipe(values=scene(500, 600, 1)))
    client.upload_file(str(file), private, "maps/relief.tif")
    server = f"endpoint_url = {s3.endpoint}\nregion = {s3.env['AWS_REGION']}"
    key, secret = s3.env["AWS_ACCESS_KEY_ID"], s3.env["AWS_SECRET_ACCESS_KEY"]
    source = f"s3://{private}/maps/relief.tif"

    profiles.issue_keys(minutes=60, settings=server, key=key, secret="wrong")
    refused = run("ingest", source)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "S3 rejects the AWS credentials (SignatureDoesNotMatch)" in refused.stderr

    denied = run("ingest", source, "--anonymous")
    assert denied.exit_code == 2
    assert "omit --anonymous" in denied.stderr

    renewed(profiles).issue_keys(minutes=60, settings=server, key=key, secret=secret)
    baked = run("ingest", source, "--jobs", "2", "--json")
    assert baked.exit_code == 0, baked.stderr
    local = run("ingest", file, "--layer", "local", "--jobs", "1", "--json")
    assert local.exit_code == 0, local.stderr
    there, here = ([cog.read_bytes() for cog in by_content(tmp_path / "data", name)] for name in ("relief", "local"))
    assert there == here

    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{private}/*"}
    client.put_bucket_policy(Bucket=private, Policy=json.dumps({"Version": "2012-10-17", "Statement": [public]}))
    renewed(profiles).write(server)
    assert run("ingest", source, "--layer", "open", "--virtual", "--anonymous").exit_code == 0
    refreshed = run("refresh", "open", source)
    assert refreshed.exit_code == 2  # the option is not inherited
    assert "--anonymous" in refreshed.stderr


def by_content(data: Path, layer: str) -> list[Path]:
    """The COGs of a layer's parts, by the hash of their blocks, which is the end of their names."""
    return sorted(cogs(data, layer), key=lambda cog: cog.stem.partition("-")[2])


def renewed(profiles: Profiles) -> Profiles:
    """The profiles, read again by this process."""
    access.session.cache_clear()
    return profiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = lay_out(tmp_path_factory.mktemp("service"))
    (made / ".aws").mkdir()
    (made / ".aws" / "config").write_text(
        "[default]\nregion = eu-north-1\n[profile maps]\nregion = ap-southeast-2\n[profile bare]\noutput = json\n"
    )
    return made


@pytest.mark.parametrize(
    ("environ", "region"), [({}, "ap-southeast-2"), ({"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2")]
)
def test_a_deployment_goes_to_the_region_of_the_environment_or_of_the_profile(
    environ: dict[str, str], region: str, folder: Path
) -> None:
    words = ("print", "--path", "provider.region", "--format", "text")
    printed = serverless(folder, *words, AWS_PROFILE="maps", **environ)
    assert printed.stdout.split() == [region], printed.stderr


PROFILES = {"": "eu-north-1", "maps": "ap-southeast-2", "bare": None, "gone": None}


def test_a_profile_without_a_region_has_none(folder: Path) -> None:
    """Then the template's default holds; `--aws-profile` comes before AWS_PROFILE."""
    script = """
        const region = require("./deploy/region.js");
        const of = async (profile) => {
          process.env.AWS_PROFILE = profile;
          return [await region({ options: {} }), await region({ options: { "aws-profile": "maps" } })];
        };
        (async () => {
          const found = [];
          for (const profile of process.argv.slice(1)) found.push(await of(profile));
          console.log(JSON.stringify(found));
        })();
    """
    done = subprocess.run(
        ["node", "-e", script, *PROFILES],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [[region, "ap-southeast-2"] for region in PROFILES.values()]
