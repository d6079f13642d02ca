"""What the delivery `cloudfront` deploys, and which delivery a stage gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.e2e.cloudfront import config_of, read_template
from tests.e2e.serverless import node, shared_template
from tests.e2e.template import Template, of_type, properties, text, variables
from tiler.settings import Settings

ACCOUNT = "123456789012"
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
WEB_ACL = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/webacl/tiles/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
OWN = (
    "cacheMetrics=true",
    "domain=tiles.example.com",
    f"certificate={CERTIFICATE}",
    f"webAcl={WEB_ACL}",
    "httpReserved=20",
)
VARIANTS = {
    "website": ("--param", "delivery=website"),
    "cloudfront": (),
    "own": ("--region", "eu-central-1", *(word for param in OWN for word in ("--param", param))),
}
DISTRIBUTION = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}"
ADDED = {
    *("HttpUrl", "DistributionMayCallUrl", "DistributionMayCallFunction", "TilesAccess", "HttpAccess"),
    *("TileCachePolicy", "ViewerRequests", "Distribution", "UrlErrorsAlarm", "DistributionErrorsAlarm"),
}
API = {"HttpApi", "HttpApiIntegrationHttp", "HttpApiRouteDefault", "HttpApiStage", "HttpLambdaPermissionHttpApi"}
API |= {"ApiErrorsAlarm", "ApiThrottlesAlarm"}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Template]:
    """The template of every variant."""
    return {name: shared_template(tmp_path_factory, *words) for name, words in VARIANTS.items()}


@pytest.fixture(params=["cloudfront", "own"])
def template(request: pytest.FixtureRequest, templates: Mapping[str, Template]) -> Template:
    return templates[request.param]


@pytest.fixture
def config(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "Distribution")["DistributionConfig"]
    return found


def outputs(template: Template) -> dict[str, str]:
    return {name: text(output["Value"]) for name, output in template["Outputs"].items()}


@pytest.mark.parametrize(("variant", "region"), [("cloudfront", "us-east-1"), ("own", "eu-central-1")])
def test_cfn_lint_finds_nothing(templates: Mapping[str, Template], variant: str, region: str) -> None:
    found = lint(json.dumps(templates[variant]), config=ManualArgs(ignore_checks=["W3005"], regions=[region]))
    assert [str(match) for match in found] == []


RESOURCES = """
    HttpApi HttpApiIntegrationHttp HttpApiRouteDefault HttpApiStage HttpErrorsAlarm HttpLambdaFunction HttpLogGroup
    DeadLetterAlarm DeadLetterQueue HttpLambdaPermissionHttpApi HttpRole Queue QueueAgeAlarm
    ServerlessDeploymentBucket ServerlessDeploymentBucketPolicy SourceBucket TileBucket TileBucketPolicy
    HttpThrottlesAlarm WorkerThrottlesAlarm HttpCallsAlarm NotStoredFilter NotStoredAlarm ApiErrorsAlarm
    ApiThrottlesAlarm Dashboard WorkerErrorsAlarm WorkerEventSourceMappingSQSQueue WorkerLambdaFunction WorkerLogGroup
    WorkerRole BakeDeadLetters BakeQueue BakeRole BakeLambdaFunction BakeLogGroup BakeEventSourceMappingSQSBakeQueue
    BakeDeadLetterAlarm BakeQueueAgeAlarm BakeErrorsAlarm BakeThrottlesAlarm
"""


def test_a_website_has_these_resources_and_no_others(templates: Mapping[str, Template]) -> None:
    assert templates["website"]["Resources"].keys() == set(RESOURCES.split())


def test_cfn_lint_finds_nothing_in_a_website_of_the_other_partitions(templates: Mapping[str, Template]) -> None:
    regions = ["cn-north-1", "us-gov-west-1", "us-iso-east-1"]
    found = lint(json.dumps(templates["website"]), config=ManualArgs(ignore_checks=["W3005"], regions=regions))
    assert [str(match) for match in found] == []


def test_the_deliveries_differ_only_in_what_delivers(templates: Mapping[str, Template]) -> None:
    website, template = templates["website"]["Resources"], templates["cloudfront"]["Resources"]
    assert template.keys() - website.keys() == ADDED
    assert website.keys() - template.keys() == API
    differing = {name for name in website.keys() & template.keys() if dated(website[name]) != dated(template[name])}
    functions = {"HttpLambdaFunction", "WorkerLambdaFunction", "BakeLambdaFunction"}
    assert differing == functions | {"TileBucket", "TileBucketPolicy", "Dashboard", "BakeRole"}


KEPT = {
    "TileBucket",
    "SourceBucket",
    "Queue",
    "DeadLetterQueue",
    "BakeQueue",
    "BakeDeadLetters",
}  # tiles, sources, jobs and messages are in them


def test_a_change_of_the_delivery_replaces_nothing_that_both_have(templates: Mapping[str, Template]) -> None:
    for before, after in (("website", "cloudfront"), ("cloudfront", "website"), ("website", "own"), ("own", "website")):
        old, new = templates[before]["Resources"], templates[after]["Resources"]
        assert old.keys() & new.keys() >= KEPT
        for name in old.keys() & new.keys():
            assert old[name]["Type"] == new[name]["Type"]
            for path in replacing(old[name]["Type"]):
                assert at(old[name], path) == at(new[name], path), (name, path)


def replacing(kind: str) -> list[str]:
    """The properties whose change replaces a resource, by CloudFormation's own schema."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    paths = [path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", [])]
    if kind == "AWS::S3::Bucket":
        assert "BucketName" in paths
    return paths


def at(resource: dict[str, Any], path: str) -> Any:
    """The value at a path of properties, None if there is none."""
    value: Any = resource.get("Properties", {})
    for step in path.split("/"):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def dated(resource: dict[str, Any]) -> str:
    """A resource as text, without the time of the packaging."""
    code = resource["Properties"].get("Code")
    return json.dumps({**resource, "Properties": {**resource["Properties"], "Code": bool(code)}}, sort_keys=True)


def test_the_tile_bucket_is_private_and_keeps_its_policy_s_place(templates: Mapping[str, Template]) -> None:
    for variant, template in templates.items():
        bucket = properties(template, "TileBucket")
        blocked = bucket["PublicAccessBlockConfiguration"]
        assert (blocked["RestrictPublicBuckets"], "WebsiteConfiguration" in bucket) == (
            variant != "website",
            variant == "website",
        )
        # A bucket has one policy: of two resources the one that goes would take it along.
        assert [name for name, each in template["Resources"].items() if each["Type"] == "AWS::S3::BucketPolicy"] == [
            "ServerlessDeploymentBucketPolicy",
            "TileBucketPolicy",
        ]


def test_only_the_distribution_may_read_tiles_and_a_missing_one_is_404(template: Template) -> None:
    statements = properties(template, "TileBucketPolicy")["PolicyDocument"]["Statement"]
    granted = {(each["Action"], text(each["Resource"])) for each in statements}
    assert granted == {("s3:GetObject", "${TileBucket.Arn}/*"), ("s3:ListBucket", "${TileBucket.Arn}")}
    for each in statements:
        assert each["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        assert text(each["Condition"]["StringEquals"]["AWS:SourceArn"]) == DISTRIBUTION


def test_only_the_distribution_may_call_the_function_s_url_and_with_both_permissions(template: Template) -> None:
    assert properties(template, "HttpUrl")["AuthType"] == "AWS_IAM"
    permissions = list(of_type(template, "AWS::Lambda::Permission"))
    assert {each["Action"] for each in permissions} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    for each in permissions:
        assert each["Principal"] == "cloudfront.amazonaws.com"
        assert text(each["SourceArn"]) == DISTRIBUTION
        assert text(each["FunctionName"]) == "${HttpLambdaFunction.Arn}"


def test_each_origin_is_asked_with_the_signature_of_its_kind(template: Template, config: dict[str, Any]) -> None:
    tiles, http = config["Origins"]
    for origin, name, kind in ((tiles, "TilesAccess", "s3"), (http, "HttpAccess", "lambda")):
        assert text(origin["OriginAccessControlId"]) == f"${{{name}}}"
        control = properties(template, name)["OriginAccessControlConfig"]
        assert (control["OriginAccessControlOriginType"], control["SigningBehavior"]) == (kind, "always")
    assert text(tiles["DomainName"]) == "${TileBucket.RegionalDomainName}"
    assert http["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert properties(template, "HttpLambdaFunction")["Timeout"] < http["CustomOriginConfig"]["OriginReadTimeout"]


def test_the_function_is_asked_for_missing_tiles_only(config: dict[str, Any]) -> None:
    (group,) = config["OriginGroups"]["Items"]
    assert group["FailoverCriteria"]["StatusCodes"] == {"Quantity": 1, "Items": [404]}
    assert [each["OriginId"] for each in group["Members"]["Items"]] == ["tiles", "http"]
    behavior = config["DefaultCacheBehavior"]
    assert behavior["TargetOriginId"] == group["Id"]
    assert set(behavior["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS"}  # failover knows no other
    assert behavior["ViewerProtocolPolicy"] == "redirect-to-https"
    assert "OriginRequestPolicyId" not in behavior  # one that forwards Host would break the signatures
    assert (config["HttpVersion"], config["DefaultRootObject"]) == ("http2and3", "index.html")


def test_the_cache_knows_a_tile_by_its_path_and_revision(template: Template, config: dict[str, Any]) -> None:
    policy = properties(template, "TileCachePolicy")["CachePolicyConfig"]
    key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert text(config["DefaultCacheBehavior"]["CachePolicyId"]) == "${TileCachePolicy}"
    assert key["QueryStringsConfig"] == {"QueryStringBehavior": "whitelist", "QueryStrings": ["v"]}
    assert (key["CookiesConfig"], key["HeadersConfig"]) == ({"CookieBehavior": "none"}, {"HeaderBehavior": "none"})
    assert policy["MinTTL"] == 0


def test_every_error_that_an_origin_gives_is_kept_for_seconds(config: dict[str, Any]) -> None:
    kept = {each["ErrorCode"]: each["ErrorCachingMinTTL"] for each in config["CustomErrorResponses"]}
    assert kept.keys() == {400, 403, 404, 500, 502, 503, 504}
    assert all(seconds <= 5 for seconds in kept.values())
    assert not any("ResponseCode" in each for each in config["CustomErrorResponses"])  # a 403 stays visible


def test_names_that_an_account_shares_hold_stack_and_region(template: Template) -> None:
    names = [
        *(
            each["OriginAccessControlConfig"]["Name"]
            for each in of_type(template, "AWS::CloudFront::OriginAccessControl")
        ),
        *(each["CachePolicyConfig"]["Name"] for each in of_type(template, "AWS::CloudFront::CachePolicy")),
        *(each["Name"] for each in of_type(template, "AWS::CloudFront::Function")),
    ]
    assert len({text(name) for name in names}) == len(names) == 4
    assert all(text(name).startswith("${AWS::StackName}-${AWS::Region}") for name in names)


def test_the_function_answers_inline_and_knows_no_address_but_one_of_your_own(
    templates: Mapping[str, Template],
) -> None:
    for variant, url in (("cloudfront", None), ("own", "https://tiles.example.com")):
        http, worker = (variables(templates[variant], f"{name}LambdaFunction") for name in ("Http", "Worker"))
        assert (http["TILER_DELIVERY"], "TILER_DELIVERY" in worker) == ("cloudfront", False)
        assert (http.get("TILER_URL"), worker.get("TILER_URL")) == (url, url)
        assert "TILER_DIRECT" not in http
        assert Settings.from_env(http).url == (url or "")
    assert "TILER_DELIVERY" not in variables(templates["website"], "HttpLambdaFunction")


def test_the_bake_function_knows_the_distribution_and_may_invalidate_it_and_no_other(
    templates: Mapping[str, Template],
) -> None:
    """It writes TileJSON and invalidates as the commands do, so its settings are those of the stack's outputs."""
    for variant, template in templates.items():
        known = variables(template, "BakeLambdaFunction")
        told = outputs(template)
        assert (known["TILER_URL"], known["TILER_DIRECT"]) == (told["WebsiteUrl"], told["TileUrl"])
        assert known.get("TILER_CLOUDFRONT", "none") == told["CloudFront"]
        assert Settings.from_env(known).cloudfront == known.get("TILER_CLOUDFRONT", "")
        (policy,) = properties(template, "BakeRole")["Policies"]
        invalidating = [
            text(resource)
            for each in policy["PolicyDocument"]["Statement"]
            if any(action.startswith("cloudfront:") for action in each["Action"])
            for resource in each["Resource"]
        ]
        assert invalidating == ([] if variant == "website" else [DISTRIBUTION])


def references(value: Any) -> Iterator[str]:
    """The logical ids to which a part of a template refers."""
    if isinstance(value, dict):
        match value:
            case {"Ref": str(name)}:
                yield name
            case {"Fn::GetAtt": [name, *_]}:
                yield name
            case {"Fn::Sub": str(pattern)}:
                yield from re.findall(r"\$\{(\w+)", pattern)
        yield from (name for each in value.values() for name in references(each))
    elif isinstance(value, list):
        yield from (name for each in value for name in references(each))


def test_no_resource_waits_for_itself(template: Template) -> None:
    """The bake function waits for the distribution, which waits for the HTTP function."""
    made = template["Resources"]
    waits = {
        name: {*references(each.get("Properties", {})), *each.get("DependsOn", [])} & made.keys()
        for name, each in made.items()
    }
    order = list(TopologicalSorter(waits).static_order())
    assert order.index("HttpLambdaFunction") < order.index("Distribution") < order.index("BakeLambdaFunction")


def test_the_outputs_name_the_distribution_and_its_address(templates: Mapping[str, Template]) -> None:
    assert outputs(templates["website"])["Delivery"] == "website"
    found = outputs(templates["cloudfront"])
    address = "https://${Distribution.DomainName}"
    assert (found["Delivery"], found["CloudFront"]) == ("cloudfront", "${Distribution}")
    assert (found["WebsiteUrl"], found["TileUrl"]) == (address, address)
    assert "ApiUrl" not in found
    own = outputs(templates["own"])
    assert (found["HttpLimit"], own["HttpLimit"]) == ("httpReserved=50", "httpReserved=20, webAcl")
    assert (own["WebsiteUrl"], own["CloudFront"]) == ("https://tiles.example.com", "${Distribution}")


def test_cache_hits_of_the_distribution_are_counted_on_request(templates: Mapping[str, Template]) -> None:
    counted = {name: list(of_type(made, "AWS::CloudFront::MonitoringSubscription")) for name, made in templates.items()}
    assert counted["website"] == counted["cloudfront"] == []
    assert [text(each["DistributionId"]) for each in counted["own"]] == ["${Distribution}"]


def test_a_domain_its_certificate_and_a_web_acl_are_the_distribution_s(templates: Mapping[str, Template]) -> None:
    own, plain = (properties(templates[name], "Distribution")["DistributionConfig"] for name in ("own", "cloudfront"))
    assert (own["Aliases"], own["WebACLId"]) == (["tiles.example.com"], WEB_ACL)
    assert own["ViewerCertificate"]["AcmCertificateArn"] == CERTIFICATE
    assert own["ViewerCertificate"]["SslSupportMethod"] == "sni-only"
    assert plain["ViewerCertificate"] == {"CloudFrontDefaultCertificate": True}
    assert not plain.get("WebACLId")
    reserved = {
        name: properties(made, "HttpLambdaFunction").get("ReservedConcurrentExecutions")
        for name, made in templates.items()
    }
    assert reserved == {"website": None, "cloudfront": 50, "own": 20}


def test_the_stand_in_for_cloudfront_acts_on_what_is_deployed(templates: Mapping[str, Template]) -> None:
    deployed = properties(templates["cloudfront"], "Distribution")["DistributionConfig"]
    policy = properties(templates["cloudfront"], "TileCachePolicy")["CachePolicyConfig"]
    assert config_of(read_template()) == config_of({"Distribution": deployed, "TileCachePolicy": policy})


REQUESTS = {
    ("GET", "/"): {"uri": "/index.html"},
    ("GET", "/alps/"): {"uri": "/alps/index.html"},
    ("GET", "/alps"): {"statusCode": 302, "location": "/alps/"},
    ("GET", "/alps/tile.json"): {"uri": "/alps/tile.json"},
    ("HEAD", "/alps/7/66/45@2x.png"): {"uri": "/alps/7/66/45@2x.png"},
    ("GET", "/alps/7/66/45%402x.png"): {"uri": "/alps/7/66/45@2x.png"},
    ("OPTIONS", "/alps/7/66/45.png"): {"statusCode": 204, "location": None},
}


@pytest.mark.parametrize(("request_line", "made"), REQUESTS.items())
def test_viewers_get_index_documents_and_preflights(
    templates: Mapping[str, Template], request_line: tuple[str, str], made: dict[str, Any]
) -> None:
    code = properties(templates["cloudfront"], "ViewerRequests")["FunctionCode"]
    event = json.dumps({"request": {"method": request_line[0], "uri": request_line[1]}})
    found = node(f"{code}\nconsole.log(JSON.stringify(handler({event})))")
    if "uri" in made:
        assert found == {"method": request_line[0], **made}
    else:
        assert found["statusCode"] == made["statusCode"]
        assert found["headers"].get("location", {}).get("value") == made["location"]


def chosen(command: str, region: str = "us-east-1", **stack: str) -> str:
    """The delivery of a stage whose stack has those outputs; only `deploy` may read them."""
    known = json.dumps(
        {
            "self:service": "tiles",
            "self:provider.stage": "dev",
            "self:provider.region": region,
            **{f"cf:tiles-dev.{name}, null": value for name, value in stack.items()},
        }
    )
    allowed = json.dumps(command == "deploy")
    return str(
        node(f"""
        process.argv.push({json.dumps(command)});
        const look = async (name) => {{
          if (name.startsWith('cf:') && !{allowed}) throw new Error('the stack was read');
          return {known}[name] ?? null;
        }};
        require('./deploy/delivery').chosen(look).then((found) => console.log(JSON.stringify(found)));
        """)
    )


def test_a_stage_keeps_its_delivery_and_a_new_one_gets_cloudfront() -> None:
    assert chosen("deploy") == "cloudfront"
    assert chosen("deploy", TileBucket="tiles") == "website"  # of before there was a choice
    for delivery in ("website", "cloudfront"):
        assert chosen("deploy", TileBucket="tiles", Delivery=delivery) == delivery


@pytest.mark.parametrize("command", ["package", "info", "remove", "logs"])
def test_nothing_but_a_deployment_reads_the_stack(command: str) -> None:
    assert chosen(command, TileBucket="tiles", Delivery="website") == "cloudfront"


@pytest.mark.parametrize(
    "region", ["cn-north-1", "cn-northwest-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"]
)
def test_partitions_without_cloudfront_get_a_website_and_no_other_delivery(region: str) -> None:
    assert chosen("deploy", region) == "website"
    assert f"not available in {region}: use delivery=website" in conflict(region, delivery="cloudfront")
    assert conflict(region, delivery="website") == "None"


def conflict(region: str = "us-east-1", **params: str) -> str:
    words = f"{json.dumps(params)}, {json.dumps(region)}"
    return str(node(f"console.log(JSON.stringify(require('./deploy/delivery').conflict({words})))"))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"delivery": "website", "domain": "tiles.example.com"}, "param domain needs delivery=cloudfront"),
        ({"delivery": "website", "cacheMetrics": "true"}, "param cacheMetrics needs delivery=cloudfront"),
        ({"delivery": "website", "webAcl": WEB_ACL}, "param webAcl needs delivery=cloudfront"),
        ({"delivery": "cloudfront", "httpBurst": "9"}, "httpBurst needs delivery=website: use httpReserved or webAcl"),
        ({"delivery": "cloudfront", "cloudFront": "E1A2B3C4D5E6F7"}, "the stack has its own distribution"),
        ({"delivery": "cloudfront", "domain": "tiles.example.com"}, "param domain needs a certificate"),
        ({"delivery": "cloudfront", "certificate": CERTIFICATE}, "param certificate needs domain"),
        (
            {"delivery": "cloudfront", "domain": "a.test", "certificate": CERTIFICATE, "url": "https://b.test"},
            "params domain and url are both addresses",
        ),
        ({"delivery": "cloudfront", "domain": "a.test", "certificate": CERTIFICATE}, "None"),
        ({"delivery": "website", "url": "https://b.test", "cloudFront": "E1A2B3C4D5E6F7"}, "None"),
    ],
)
def test_params_that_do_not_fit_together_are_refused_and_named(params: dict[str, str], message: str) -> None:
    assert message in conflict(**params)


def reserved(command: str, account: dict[str, object] | None = None, **params: object) -> dict[str, Any]:
    """The reserved concurrency of a stage; only `deploy` may read the account."""
    known = {"self:service": "tiles", "self:provider.stage": "dev", "concurrency:tiles-dev-http": account}
    made: dict[str, Any] = node(f"""
        process.argv.push({json.dumps(command)});
        const look = async (name) => {{
          if (name.startsWith('concurrency:') && !{json.dumps(account)}) throw new Error('the account was read');
          return {json.dumps(known)}[name];
        }};
        const params = {json.dumps({"httpReserved": None, "delivery": "cloudfront", **params})};
        require('./deploy/concurrency').reserved(params, look).then((made) => console.log(JSON.stringify(made)));
        """)
    return made


@pytest.mark.parametrize(
    ("command", "params", "number"),
    [
        ("package", {}, 50),
        ("remove", {}, 50),
        ("deploy", {"httpReserved": "none"}, None),
        ("deploy", {"httpReserved": 7}, 7),
        ("deploy", {"delivery": "website"}, None),
        ("deploy", {"delivery": "website", "httpReserved": 7}, 7),
    ],
)
def test_without_need_the_account_is_not_read(command: str, params: dict[str, object], number: int | None) -> None:
    assert reserved(command, **params) == {"httpReserved": number}


@pytest.mark.parametrize(
    ("limit", "unreserved", "held", "number", "note"),
    [
        (1000, 1000, 0, 50, None),
        (1000, 150, 0, 50, None),
        (150, 100, 50, 50, None),  # its own reservation
        (1000, 149, 0, None, "limit of 1000 leaves only 49: pass --param httpReserved=49, or request a higher quota"),
        (10, 10, 0, None, "limit of 10 leaves none: request a higher quota"),
        (100, 100, 0, None, "limit of 100 leaves none: request a higher quota"),
    ],
)
def test_concurrency_is_reserved_if_100_stay_for_other_functions(
    limit: int, unreserved: int, held: int, number: int | None, note: str | None
) -> None:
    made = reserved("deploy", {"limit": limit, "unreserved": unreserved, "held": held})
    assert made["httpReserved"] == number
    if note:
        (told,) = made["notes"]
        assert note in told
    else:
        assert made["notes"] == []


@pytest.mark.parametrize(
    ("limit", "workers", "bakes", "left"),
    [
        (1000, 64, 32, None),
        (1000, 900, 50, None),
        (1000, 900, 51, 950),
        (150, 64, 32, None),  # of the 150, the HTTP function has 50
        (150, 64, 64, 100),
        (10, 32, 32, 10),
        (10, 2, 2, None),
    ],
)
def test_workers_and_bakes_together_are_compared_with_the_account(
    limit: int, workers: int, bakes: int, left: int | None
) -> None:
    account: dict[str, object] = {"limit": limit, "unreserved": limit, "held": 0}
    made = reserved("deploy", account, maximumConcurrency=workers, bakeConcurrency=bakes)
    notes = [note for note in made["notes"] if "bakeConcurrency" in note]
    assert len(notes) == (left is not None)
    if left is not None:
        beginning = f"maximumConcurrency={workers} and bakeConcurrency={bakes} exceed the {left} functions that may run"
        assert notes[0].startswith(beginning)


def test_an_account_that_cannot_be_read_is_refused_with_two_cures() -> None:
    made = reserved("deploy", {"fault": "AccessDeniedException: not authorized"})
    assert made == {
        "fault": "cannot read Lambda's concurrency limits of the account (AccessDeniedException: not authorized): "
        "allow lambda:GetAccountSettings and lambda:GetFunctionConcurrency, or pass --param httpReserved=50 (or none)"
    }


BAD = {
    "arch=sparc": 'param arch must be one of arm64, x86_64, not "sparc"',
    "maximumConcurrency=1": 'param maximumConcurrency must be a whole number from 2 to 1000, not "1"',
    "bakeConcurrency=1": 'param bakeConcurrency must be a whole number from 2 to 1000, not "1"',
    "bakeStorage=256": 'param bakeStorage must be a whole number from 512 to 10240, not "256"',
    "sceneBuckets=s3://flights/": "a list of bucket names or ARNs such as flights,survey-*, or * for all buckets",
    "sceneBuckets=flights,": "a list of bucket names or ARNs such as flights,survey-*, or * for all buckets",
    "sceneBuckets=flights,arn:aws:s3:::flights/may/*": "a list of bucket names or ARNs such as flights,survey-*",
    "url=https://tiles.example.com/": "without a slash at the end",
    "cloudFront=d111111abcdef8.cloudfront.net": "the id of a CloudFront distribution, such as E1A2B3C4D5E6F7",
    "httpReserved=no": 'param httpReserved must be none or a whole number from 1 to 1000, not "no"',
    "variants=layer,gif": "param variants must be a list of layer, all, png, jpg, webp, each also with @2x",
    "formats=png": 'param formats must be one of layer, all, not "png"',
    "budget=50": "param budget needs budgetEmail, the address to warn",
    "budgetEmail=ops@example.com": "param budgetEmail needs budget, in dollars a month",
    "budget=50 budgetEmail=ops": "param budgetEmail must be an email address",
    "budget=50 budgetEmail=ops@example.com region=cn-north-1": "param budget is not supported in cn-north-1",
    "formats=all variants=layer": "params variants and formats choose the same: use variants alone",
    "delivery=s3": 'param delivery must be one of cloudfront, website, not "s3"',
    "domain=https://tiles.example.com": "param domain must be a host name such as tiles.example.com",
    f"certificate={CERTIFICATE.replace('us-east-1', 'eu-central-1')}": "an ACM certificate in us-east-1",
    f"webAcl={WEB_ACL.replace('global', 'regional')}": "the ARN of a WAF web ACL for CloudFront",
    "permissionsBoundary=arn:aws:iam::123456789012:role/bound": "must be the ARN of a managed policy",
    "tags=team": "param tags must be tags such as team=maps,cost=42",
    "tags=aws:team=maps": "param tags must be tags such as team=maps,cost=42",
    "tags=team=maps,,cost=42": "param tags must be tags such as team=maps,cost=42",
    "tags=team=maps,team=atlas": "no key twice",
}


@pytest.mark.parametrize(("param", "message"), BAD.items())
def test_a_wrong_param_is_refused_and_named(param: str, message: str) -> None:
    given = dict(word.split("=", 1) for word in param.split())
    script = f"""
    const params = {json.dumps(given)};
    const defaults = {{ arch: 'arm64', httpMemory: 1024, httpTimeout: 29, workerMemory: 1769, workerTimeout: 120,
      batchSize: 5, maximumConcurrency: 32, bakeMemory: 3538, bakeStorage: 4096, bakeConcurrency: 32,
      logLevel: 'INFO', logRetention: 14, queueAge: 3600, httpCalls: 3000, dashboard: true, cacheMetrics: false }};
    const known = {{ ...defaults, ...params }};
    const look = async (name) => known[name.split(/[:.,]/).at(name.startsWith('self') ? 2 : 1)] ?? null;
    require('./deploy/params')({{ options: {{}}, resolveVariable: look }}).then(
      () => console.log('"accepted"'), (error) => console.log(JSON.stringify(error.message)));
    """
    assert message in node(script)


def bake_resources(**params: Any) -> set[tuple[str, str]]:
    """The actions and resources of the bake function's permissions that depend on params."""
    script = f"console.log(JSON.stringify(require('./deploy/bake-permissions')({json.dumps(params)})))"
    fixed, found = (
        {(action, text(each)) for one in made for action in one["Action"] for each in one["Resource"]}
        for made in (node(script.replace(json.dumps(params), "{}")), node(script))
    )
    assert fixed < found
    return found - fixed


def test_scenes_are_read_in_the_named_buckets_only() -> None:
    assert bake_resources(sceneBuckets="flights") == {
        ("s3:GetObject", "arn:${AWS::Partition}:s3:::flights/*"),
        ("s3:ListBucket", "arn:${AWS::Partition}:s3:::flights"),
    }
    assert bake_resources(sceneBuckets="*,arn:aws-us-gov:s3:::survey") == {
        ("s3:GetObject", "arn:${AWS::Partition}:s3:::*/*"),
        ("s3:ListBucket", "arn:${AWS::Partition}:s3:::*"),
        ("s3:GetObject", "arn:aws-us-gov:s3:::survey/*"),
        ("s3:ListBucket", "arn:aws-us-gov:s3:::survey"),
    }
