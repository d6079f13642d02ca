"""A deployment from beginning to end, against a server that acts as AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.awslambda.urls import url_paths
from moto.cloudformation.parsing import get_model_map
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import validate_template_cfn_lint
from moto.core.common_models import CloudFormationModel
from moto.core.responses import ActionResult
from moto.server import ThreadedMotoServer

from tests.e2e.serverless import lay_out, serverless
from tests.support.aws_actions import FRAMEWORK, FREE, Recorder, allowed
from tests.support.commands import seeder
from tests.support.effort import LONG

REGION = "eu-central-1"

# moto passes over what it does not know: the API, the alarms and the buckets' policies. test_template.py covers those.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS:UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("service"))


@dataclass(frozen=True, slots=True)
class Cloud:
    """A server that acts as AWS, and a folder to deploy from."""

    endpoint: str
    folder: Path
    concurrency: dict[str, int]  # limits of the account
    recorder: Recorder  # between the framework and AWS

    def client(self, service: str) -> Any:
        """A boto3 client of `service`."""
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, **keys)

    def run(self, command: str, stage: str, *options: str, code: int = 0) -> str:
        """The output of a command that ends with this exit code, and that the deployer's policy allows."""
        env = {"AWS_ENDPOINT_URL": self.recorder.url, "AWS_REGION": REGION}
        done = serverless(self.folder, command, "--stage", stage, *options, **env)
        assert done.returncode == code, done.stdout + done.stderr
        denied = self.recorder.actions - allowed("deployer") - {FREE, SKIPPED}
        assert not denied, f"add {denied} to deploy/policies/deployer.json"
        return done.stdout + done.stderr

    def complaint(self, command: str, stage: str, *options: str) -> str:
        """The line of the error with which `command` refuses to begin."""
        lines = self.run(command, stage, *options, code=1).splitlines()
        return lines[lines.index("Error:") + 1]

    def outputs(self, stage: str) -> dict[str, str]:
        """The outputs of the stack of `stage`."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=f"tile-seeder-{stage}")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def attributes(self, url: str) -> dict[str, str]:
        """The attributes of the queue at `url`."""
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return dict(found["Attributes"])

    def granted(self, function: str) -> str:
        """The policy of the role of `function`, as text."""
        role = self.client("lambda").get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
        iam = self.client("iam")
        (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return str(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])


SKIPPED = "ecr:DescribeRepositories"  # `remove` goes on if it is denied
WEBSITE = ("--param", "delivery=website")
UNKNOWN = ("Lambda::Url", *(f"CloudFront::{kind}" for kind in ("OriginAccessControl", "CachePolicy", "Function")))


class Named(CloudFormationModel):  # type: ignore[misc]
    """A resource of which moto knows nothing, with a name and attributes."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @classmethod
    def create_from_cloudformation_json(cls, resource_name: str, *_: Any, **_more: Any) -> Named:
        """A new one."""
        return cls(resource_name)

    update_from_cloudformation_json = delete_from_cloudformation_json = create_from_cloudformation_json

    def get_cfn_attribute(self, name: str) -> str:
        """An attribute's value."""
        return {"FunctionUrl": "https://url.test/", "DomainName": "d1234.cloudfront.test"}.get(name, f"arn:{name}")


@pytest.fixture(scope="module")
def cloud(folder: Path) -> Iterator[Cloud]:
    """A cloud to which the stage dev is deployed."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        # moto refuses a template for warnings, which AWS would not; test_template.py looks at those.
        patch.setattr(
            "moto.cloudformation.models.validate_template_cfn_lint",
            lambda template: [
                match for match in validate_template_cfn_lint(template) if not match.rule.id.startswith("W")
            ],
        )
        for kind in (*UNKNOWN, "CloudFront::Distribution", "CloudWatch::Alarm"):
            patch.setitem(get_model_map(), f"AWS::{kind}", Named)
        limits = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
        # moto has no account settings
        path = "{0}/(?P<api_version>[^/]+)/account-settings/?$"
        patch.setitem(url_paths, path, lambda *_: (200, {}, json.dumps({"AccountLimit": limits})))
        server.start()
        try:
            host, port = server.get_host_and_port()
            with Recorder(f"http://{host}:{port}") as recorder:
                cloud = Cloud(f"http://{host}:{port}", folder, limits, recorder)
                cloud.run("deploy", "dev", *WEBSITE)
                yield cloud
        finally:
            server.stop()


def test_deploy_tells_every_name_that_the_commands_need(cloud: Cloud) -> None:
    outputs = cloud.outputs("dev")
    buckets = {bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]}
    assert {outputs["TileBucket"], outputs["SourceBucket"]} <= buckets
    assert outputs["TileUrl"] == f"https://{outputs['TileBucket']}.s3.{REGION}.amazonaws.com"
    assert outputs["WebsiteUrl"].startswith(f"http://{outputs['TileBucket']}.s3-website")
    for function in ("http", "worker", "bake"):
        assert outputs[f"{function.title()}Function"] == f"tile-seeder-dev-{function}"


def test_only_the_zip_of_the_deployed_architecture_was_built(cloud: Cloud) -> None:
    assert [path.name for path in (cloud.folder / "dist").iterdir()] == ["lambda-arm64.zip"]


def test_info_names_the_stack_and_its_functions(cloud: Cloud) -> None:
    told = cloud.run("info", "dev")
    for name in ("tile-seeder-dev", *(f"tile-seeder-dev-{function}" for function in ("http", "worker", "bake"))):
        assert name in told.split()


def test_the_dashboard_shows_the_deployed_resources(cloud: Cloud) -> None:
    outputs = cloud.outputs("dev")
    name = outputs["Dashboard"].rpartition("/")[2]
    body = cloud.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    assert name == f"tile-seeder-dev-{REGION}"
    assert set(re.findall(r"\$\{([^}]+)\}", body)) <= {"HttpApi"}  # moto has no HTTP API
    queues = {outputs[name].rpartition("/")[2] for name in ("QueueUrl", "BakeQueueUrl")}
    functions = {outputs[name] for name in ("HttpFunction", "WorkerFunction", "BakeFunction")}
    shown = {word for each in json.loads(body)["widgets"] for word in words(each["properties"])}
    assert functions | queues | {REGION, "TileSeeder/tile-seeder-dev"} <= shown


def words(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from words(each)


@pytest.mark.parametrize(
    ("kind", "hidden"), [("", "720"), ("Bake", "960")], ids=["tiles", "bakes"]
)  # six times the worker's timeout; the bake function's and a minute
def test_failed_messages_go_from_a_queue_to_its_dead_letter_queue(cloud: Cloud, kind: str, hidden: str) -> None:
    outputs = cloud.outputs("dev")
    queue, dead = (cloud.attributes(outputs[f"{kind}{name}"]) for name in ("QueueUrl", "DeadLetterQueueUrl"))
    assert queue["VisibilityTimeout"] == hidden
    assert json.loads(queue["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 5}
    assert queue["MessageRetentionPeriod"] == dead["MessageRetentionPeriod"] == "1209600"


@pytest.mark.parametrize(
    ("queue_url", "function", "batch"), [("QueueUrl", "WorkerFunction", 5), ("BakeQueueUrl", "BakeFunction", 1)]
)
def test_a_queue_feeds_its_function(cloud: Cloud, queue_url: str, function: str, batch: int) -> None:
    outputs = cloud.outputs("dev")
    queue = cloud.attributes(outputs[queue_url])["QueueArn"]
    (mapping,) = cloud.client("lambda").list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]
    assert mapping["FunctionArn"].endswith(f":{outputs[function]}")
    assert mapping["BatchSize"] == batch
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_functions_know_the_deployed_stores(cloud: Cloud) -> None:
    outputs = cloud.outputs("dev")
    queues = {"WorkerFunction": {"TILER_QUEUE"}, "BakeFunction": {"TILER_QUEUE", "TILER_BAKE_QUEUE"}}
    for name in ("HttpFunction", "WorkerFunction", "BakeFunction"):
        function = outputs[name]
        found = cloud.client("lambda").get_function_configuration(FunctionName=function)
        known = found["Environment"]["Variables"]
        assert known["TILER_TILES"] == f"s3://{outputs['TileBucket']}"
        assert known["TILER_SOURCES"] == f"s3://{outputs['SourceBucket']}"
        assert (known["TILER_URL"], known["TILER_DIRECT"]) == (outputs["WebsiteUrl"], outputs["TileUrl"])
        urls = {"TILER_QUEUE": outputs["QueueUrl"], "TILER_BAKE_QUEUE": outputs["BakeQueueUrl"]}
        assert known.items() & urls.items() == {(each, urls[each]) for each in queues.get(name, ())}


def test_a_role_names_its_own_stack_s_buckets_and_queue(cloud: Cloud) -> None:
    outputs = cloud.outputs("dev")
    queue = cloud.attributes(outputs["QueueUrl"])["QueueArn"]
    bakes = cloud.attributes(outputs["BakeQueueUrl"])["QueueArn"]
    http, worker, bake = (cloud.granted(outputs[f"{name}Function"]) for name in ("Http", "Worker", "Bake"))
    for granted in (http, worker):
        assert f"arn:aws:s3:::{outputs['TileBucket']}/*" in granted
        assert f"arn:aws:s3:::{outputs['SourceBucket']}/sources/*" in granted
    assert queue in worker
    assert queue not in http
    assert f"arn:aws:s3:::{outputs['SourceBucket']}/*" in bake
    assert queue in bake
    assert bakes in bake
    assert bakes not in http + worker


def objects(cloud: Cloud, outputs: dict[str, str]) -> dict[str, int]:
    """The number of objects in each bucket of a stack, by output."""
    client, buckets = cloud.client("s3"), ("TileBucket", "SourceBucket", "ServerlessDeploymentBucketName")
    return {name: client.list_objects_v2(Bucket=outputs[name])["KeyCount"] for name in buckets}


def test_remove_refuses_full_buckets_and_then_takes_one_stage_and_leaves_the_other(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.run("deploy", "gone", *WEBSITE)
    outputs = cloud.outputs("gone")
    cloud.client("s3").put_object(Bucket=outputs["TileBucket"], Key="ortho/1/0/0.png", Body=b"a tile")
    before = objects(cloud, outputs)
    complaint = cloud.complaint("remove", "gone")
    assert complaint == (
        f"not empty: TileBucket {outputs['TileBucket']} (objects); "
        f"to delete all of it: AWS_REGION={REGION} seeder empty-stack tile-seeder-gone"
    )
    assert objects(cloud, outputs) == before
    assert cloud.outputs("gone") == outputs
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    name = complaint.rpartition(" ")[2]
    assert seeder("empty-stack", name, "--confirm", name).exit_code == 0
    cloud.run("remove", "gone")
    with pytest.raises(ClientError, match="does not exist"):
        cloud.outputs("gone")
    buckets = {bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]}
    assert not buckets & {outputs["TileBucket"], outputs["SourceBucket"]}
    assert cloud.outputs("dev")["TileBucket"] in buckets
    assert cloud.recorder.actions >= FRAMEWORK


@pytest.mark.skipif(not LONG, reason="three more runs of the framework: scripts/full")
def test_prod_is_protected_until_that_is_lifted(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def update(response: CloudFormationResponse) -> ActionResult:
        stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
        stack.enable_termination_protection = response._get_param("EnableTerminationProtection") in (True, "true")
        return ActionResult({"StackId": stack.stack_id})

    monkeypatch.setattr(CloudFormationResponse, "update_termination_protection", update, raising=False)
    cloud.run("deploy", "prod", *WEBSITE)
    assert "stack tile-seeder-prod has termination protection; to lift it: aws " in cloud.complaint("remove", "prod")
    cloud.client("cloudformation").update_termination_protection(
        StackName="tile-seeder-prod", EnableTerminationProtection=False
    )
    cloud.run("remove", "prod")


def test_a_new_stage_gets_a_distribution_and_keeps_it_and_its_params(cloud: Cloud) -> None:
    shortage = "no concurrency reserved, because the account's limit of 1000 leaves only 10"
    for unreserved, number in ((1000, 50), (60, None)):  # of the 60, and the 50 of its own, 100 stay unreserved
        cloud.concurrency["UnreservedConcurrentExecutions"] = unreserved
        retention = "logRetention=30" if number else "logRetention=default"
        told = " ".join(cloud.run("deploy", "https", "--param", retention).split())
        outputs = cloud.outputs("https")
        assert (outputs["Delivery"], outputs["WebsiteUrl"]) == ("cloudfront", "https://d1234.cloudfront.test")
        assert outputs["CloudFront"].startswith("tile-seeder-https-Distribution")
        assert outputs["HttpLimit"] == (f"httpReserved={number}" if number else "none")
        assert (shortage in told) is (number is None)
        if number:
            assert "add --param logRetention=30, or" in cloud.run("deploy", "https", code=1)
            assert cloud.outputs("https") == outputs
    assert outputs["GivenParams"] == "{}"


def test_a_stage_of_before_there_was_a_choice_keeps_its_website(cloud: Cloud) -> None:
    client = cloud.client("cloudformation")
    template = client.get_template(StackName="tile-seeder-dev")["TemplateBody"]
    del template["Outputs"]["Delivery"], template["Outputs"]["GivenParams"]
    named = {"StackName": "tile-seeder-dev", "Capabilities": ["CAPABILITY_NAMED_IAM"]}
    client.update_stack(**named, TemplateBody=json.dumps(template))
    assert "Delivery" not in cloud.outputs("dev")
    cloud.run("deploy", "dev", "--force")  # the framework does not know of the update
    kept = cloud.outputs("dev")
    assert (kept["Delivery"], kept["CloudFront"]) == ("website", "none")
    assert kept["WebsiteUrl"].startswith(f"http://{kept['TileBucket']}.s3-website")


def test_an_unknown_param_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    done = serverless(folder, "package", "--package", str(tmp_path / "out"), "--param", "workerTimout=60")
    assert done.returncode != 0
    assert "unknown param workerTimout: choose from arch, " in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Unable to delete:UserWarning")  # nor does it miss what it passed over
@pytest.mark.skipif(not LONG, reason="scripts/full runs it")
def test_a_stage_changes_its_delivery_and_back_with_its_buckets_and_queues(cloud: Cloud) -> None:
    kept = ("TileBucket", "SourceBucket", "QueueUrl", "DeadLetterQueueUrl", "HttpFunction", "WorkerFunction")
    kept += ("BakeQueueUrl", "BakeDeadLetterQueueUrl", "BakeFunction")
    cloud.run("deploy", "changed", *WEBSITE)
    before, s3 = cloud.outputs("changed"), cloud.client("s3")
    s3.put_object(Bucket=before["TileBucket"], Key="alps/0/0/0.png", Body=b"tile")
    for delivery in ("cloudfront", "website"):
        cloud.run("deploy", "changed", "--param", f"delivery={delivery}")
        outputs = cloud.outputs("changed")
        assert outputs["Delivery"] == delivery
        assert {name: outputs[name] for name in kept} == {name: before[name] for name in kept}
        assert s3.get_object(Bucket=before["TileBucket"], Key="alps/0/0/0.png")["Body"].read() == b"tile"
