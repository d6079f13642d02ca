"""Outputs of a deployed stack become settings; any other stack gives an error of one line."""

from __future__ import annotations

import re
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from click.testing import CliRunner, Result

from seeder.aws import clients
from seeder.aws.stack import NEEDED, Stack, read_stack
from seeder.cli import main as cli
from tests.support.aws import MakeStack
from tests.support.paths import ROOT
from tests.support.rasters import MakeRaster, scene
from tiler.errors import BadCloud, BadInput, QueueError
from tiler.layers.version import METADATA
from tiler.settings import S3, Settings

OUTPUTS = [ROOT / "deploy" / name for name in ("outputs.yml", "website.yml")]
SITE, TILES, API = "http://tiles.test", "https://tiles.test/direct", "https://api.test"
COMMANDS = (("seed", "alps"), ("ingest", "alps.tif"), ("layers",), ("worker",), ("doctor",))


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, words)


def error(result: Result) -> str:
    """The single line of the error."""
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def test_the_outputs_become_settings(make_stack: MakeStack) -> None:
    name = make_stack(WebsiteUrl=f"{SITE}/", TileUrl=f"{TILES}/", ApiUrl=API, version=None)
    stack = read_stack(name, "us-east-1")
    assert stack.status == "CREATE_COMPLETE"
    base = Settings.from_env({"AWS_REGION": "us-east-1", "TILER_TILES": "s3://other", "TILER_URL": "http://other"})
    found = stack.settings(base)
    assert found == Settings(
        tiles=f"s3://{stack.outputs['TileBucket']}",
        sources=f"s3://{stack.outputs['SourceBucket']}",
        url=SITE,
        direct=TILES,
        queue=stack.outputs["QueueUrl"],
        s3=S3(region="us-east-1", keys=False),
        stack=name,
        readers=1,  # stacks without the output were deployed when there was one version
    )
    queues = boto3.client("sqs").list_queues()["QueueUrls"]
    assert found.queue.rpartition("/")[2] in {url.rpartition("/")[2] for url in queues}


def test_a_stack_has_a_bake_queue_unless_it_was_deployed_earlier(make_stack: MakeStack) -> None:
    base = Settings.from_env({"AWS_REGION": "us-east-1", "TILER_BAKE_QUEUE": "https://other.test/bakes"})
    for bakes in (True, False):
        stack = read_stack(make_stack(WebsiteUrl=SITE, TileUrl=TILES, bakes=bakes), "us-east-1")
        found = stack.settings(base)
        assert found.bake_queue == stack.outputs.get("BakeQueueUrl", "")
        assert bool(found.bake_queue) is bakes
        assert found.bake_queue != found.queue


def test_the_project_deploys_every_output_that_is_looked_for() -> None:
    deployed = {name for path in OUTPUTS for name in re.findall(r"^  (\w+):", path.read_text(), re.MULTILINE)}
    assert {*NEEDED, "ApiUrl", "Delivery", "HttpFunction", "WorkerFunction"} <= deployed
    assert {"BakeQueueUrl", "BakeFunction", "SceneBuckets"} <= deployed


@pytest.mark.parametrize("named", ["--stack", "TILER_STACK"])
def test_newer_metadata_is_not_written_for_functions_that_read_older_only(
    named: str, make_stack: MakeStack, make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {"WebsiteUrl": SITE, "TileUrl": TILES}
    path = str(make_raster(name="alps.tif", values=scene(64, 64)))
    earliest, older, newer = (make_stack(**urls, version=version) for version in (None, METADATA, METADATA + 1))

    def at(stack: str, *words: str) -> Result:
        if named == "--stack":
            return run(*words, "--stack", stack)
        monkeypatch.setenv("TILER_STACK", stack)
        return run(*words)

    ingest = ("ingest", path, "--jobs", "1")
    assert "functions read layer metadata of version 1, this program writes 4" in at(earliest, *ingest).output
    assert at(older, *ingest).exit_code == 0
    monkeypatch.setattr("tiler.layers.version.version_for", lambda *_, **__: METADATA + 1)
    written = bucket(older)
    refresh = ("refresh", "alps", path, "--yes", "--jobs", "1")
    for words in (ingest, refresh, ("refresh", "alps", path, "--dry-run"), ("doctor",)):
        result = at(older, *words)
        assert result.exit_code == (1 if words == ("doctor",) else 2), words
        assert f"of version {METADATA}, this program writes {METADATA + 1}" in result.output, words
        assert "run `npm run deploy" in result.output
    assert bucket(older) == written
    assert at(newer, *ingest).exit_code == 0


def bucket(stack: str) -> dict[str, str]:
    """The objects of the stack's source bucket, with their hashes."""
    name = read_stack(stack, "us-east-1").outputs["SourceBucket"]
    return {each["Key"]: each["ETag"] for each in boto3.client("s3").list_objects_v2(Bucket=name)["Contents"]}


def test_a_stack_that_is_not_there_is_bad_input(cloud: str) -> None:
    assert cloud
    with pytest.raises(BadCloud, match=r"cannot read stack 'nowhere' in us-east-1: .*nowhere does not exist"):
        read_stack("nowhere", "us-east-1")


def test_a_stack_of_somebody_else_is_bad_input(make_stack: MakeStack) -> None:
    stack = read_stack(make_stack(), "us-east-1")
    with pytest.raises(
        BadCloud, match=r"CREATE_COMPLETE\) has no output WebsiteUrl, TileUrl: give the name of a stack made by"
    ):
        stack.settings(Settings.from_env({}))


def test_a_stack_whose_deployment_failed_is_bad_input() -> None:
    stack = Stack("seeder", "ROLLBACK_COMPLETE", {})
    with pytest.raises(BadCloud, match=r"'seeder' \(ROLLBACK_COMPLETE\) has no output TileBucket, SourceBucket"):
        stack.settings(Settings.from_env({}))


def test_a_service_that_answers_nonsense_is_a_failure(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("on fire")  # the server's response is a page of HTML

    assert cloud
    monkeypatch.setattr(
        clients, "CONFIG", clients.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    )
    monkeypatch.setattr("moto.cloudformation.responses.CloudFormationResponse.describe_stacks", fail)
    with pytest.raises(QueueError, match="cannot read stack 'seeder'"):
        read_stack("seeder", "us-east-1")


def test_no_region_is_bad_input_that_names_the_cure(
    cloud: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cloud
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(BadInput, match=r"region.*set AWS_REGION"):
        read_stack("seeder", "")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_every_command_says_so_where_the_stack_is_not_there(cloud: str, command: tuple[str, ...]) -> None:
    assert cloud
    assert "nowhere does not exist" in error(run(*command, "--stack", "nowhere"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_stack_and_a_folder_are_two_places(cloud: str, command: tuple[str, ...], tmp_path: Path) -> None:
    assert cloud
    assert "--data and --stack exclude each other" in error(
        run(*command, "--stack", "seeder", "--data", str(tmp_path / "data"))
    )
    assert not (tmp_path / "data").exists()


def test_the_stack_of_the_environment_counts_as_named(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cloud
    monkeypatch.setenv("TILER_STACK", "nowhere")
    assert "nowhere does not exist" in error(run("layers"))
    assert "--data and --stack" in error(run("layers", "--data", "data"))


def test_a_stack_may_be_named_before_the_command(cloud: str, make_stack: MakeStack) -> None:
    assert cloud
    assert "nowhere does not exist" in error(run("--stack", "nowhere", "layers"))
    name = make_stack(WebsiteUrl=SITE, TileUrl=TILES)
    result = run("--stack", "nowhere", "layers", "--stack", name)
    assert result.exit_code == 0, "the nearer one counts"


def test_a_command_works_in_the_stacks_buckets(make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_TILES", "s3://other")
    monkeypatch.setenv("TILER_SOURCES", "s3://other")
    result = run("layers", "--stack", make_stack(WebsiteUrl=SITE, TileUrl=TILES))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no layers yet" in result.stderr
