"""What serverless.yml deploys with the delivery `website`, read from the CloudFormation template that it makes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.e2e.serverless import shared_template
from tests.e2e.template import Template, of_type, properties, text, variables
from tiler.layers.version import METADATA

TOPIC = "arn:aws:sns:eu-central-1:123456789012:ops"
VARIANTS = {
    "dev": (),
    "prod": ("--stage", "prod"),
    "x86_64": ("--param", "arch=x86_64", "--param", "dashboard=false"),
    "own": (
        *("--stage", "own", "--region", "eu-central-1"),
        *("--param", f"alarmTopic={TOPIC}"),
        *("--param", "tileBucket=tiles.example.com", "--param", "url=https://tiles.example.com"),
        *("--param", "workerTimeout=900", "--param", "maximumConcurrency=1000", "--param", "batchSize=10"),
        *("--param", "httpReserved=7", "--param", "logLevel=DEBUG", "--param", "queueAge=600"),
        *("--param", "httpRate=20", "--param", "httpBurst=40", "--param", "variants=layer, webp@2x"),
        *("--param", "budget=50", "--param", "budgetEmail=ops@example.com"),
        *("--param", "cloudFront=E1A2B3C4D5E6F7"),
        *("--param", "bakeMemory=3008", "--param", "bakeStorage=512", "--param", "bakeConcurrency=100"),
        *("--param", "sceneBuckets=flights, arn:aws:s3:::survey-*"),
    ),
}


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Template]:
    """The template of every variant."""
    website = ("--param", "delivery=website")
    return {name: shared_template(tmp_path_factory, *website, *words) for name, words in VARIANTS.items()}


@pytest.fixture(params=VARIANTS)
def template(request: pytest.FixtureRequest, templates: Mapping[str, Template]) -> Template:
    return templates[request.param]


def grants(template: Template, role: str) -> set[tuple[str, str]]:
    """Every action that `role` may do, with what it may do it on."""
    assert "ManagedPolicyArns" not in properties(template, role)
    return {
        (action, text(resource))
        for policy in properties(template, role)["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def test_cfn_lint_finds_nothing(template: Template) -> None:
    # W3005: the framework writes DependsOn where a reference says the same already.
    region = "eu-central-1" if "tiles.example.com" in json.dumps(template) else "us-east-1"
    found = lint(json.dumps(template), config=ManualArgs(ignore_checks=["W3005"], regions=[region]))
    assert [str(match) for match in found] == []


FUNCTIONS = {
    "HttpLambdaFunction": "tiler.http.handler",
    "WorkerLambdaFunction": "seeder.workers.lambda_handler.handler",
    "BakeLambdaFunction": "seeder.bakes.lambda_handler.handler",
}


@pytest.mark.parametrize(("function", "handler"), FUNCTIONS.items())
def test_functions_run_the_handlers_on_python_3_13(template: Template, function: str, handler: str) -> None:
    assert properties(template, function)["Handler"] == handler
    assert properties(template, function)["Runtime"] == "python3.13"


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("variant", "arch"), [("dev", "arm64"), ("prod", "arm64"), ("x86_64", "x86_64")])
def test_a_function_gets_the_zip_of_its_architecture(
    templates: Mapping[str, Template], variant: str, arch: str, function: str
) -> None:
    found = properties(templates[variant], function)
    assert found["Architectures"] == [arch]
    assert found["Code"]["S3Key"].endswith(f"/lambda-{arch}.zip")


def test_sizes_are_those_of_the_params(templates: Mapping[str, Template]) -> None:
    sizes = [
        (name, properties(templates["dev"], name)["MemorySize"], properties(templates["dev"], name)["Timeout"])
        for name in FUNCTIONS
    ]
    assert sizes == [
        ("HttpLambdaFunction", 1024, 29),
        ("WorkerLambdaFunction", 1769, 120),
        ("BakeLambdaFunction", 3538, 900),
    ]
    own = {name: properties(templates["own"], name) for name in FUNCTIONS}
    assert (own["WorkerLambdaFunction"]["Timeout"], own["BakeLambdaFunction"]["MemorySize"]) == (900, 3008)


@pytest.mark.parametrize(("variant", "megabytes"), [("dev", 4096), ("own", 512)])
def test_only_the_bake_function_has_more_temporary_storage(
    templates: Mapping[str, Template], variant: str, megabytes: int
) -> None:
    storage = {name: properties(templates[variant], name).get("EphemeralStorage") for name in FUNCTIONS}
    assert storage.pop("BakeLambdaFunction") == {"Size": megabytes}
    assert set(storage.values()) == {None}


def test_only_the_bake_function_may_send_to_itself_without_end(template: Template) -> None:
    """Lambda ends a chain after about 16 messages, but a layer has tiers, and the end of a renewal is polled."""
    loops = {name: properties(template, name).get("RecursiveLoop") for name in FUNCTIONS}
    assert loops == dict.fromkeys(FUNCTIONS) | {"BakeLambdaFunction": "Allow"}


def test_concurrency_is_reserved_only_for_http_and_only_when_asked(templates: Mapping[str, Template]) -> None:
    reserved = {
        variant: [properties(made, name).get("ReservedConcurrentExecutions") for name in FUNCTIONS]
        for variant, made in templates.items()
    }
    none = [None, None, None]
    assert reserved == {"dev": none, "prod": none, "x86_64": none, "own": [7, None, None]}


@pytest.mark.parametrize(("variant", "rate", "burst"), [("dev", 100, 300), ("prod", 100, 300), ("own", 20, 40)])
def test_the_api_is_throttled_and_the_stack_tells_it(
    templates: Mapping[str, Template], variant: str, rate: int, burst: int
) -> None:
    (stage,) = of_type(templates[variant], "AWS::ApiGatewayV2::Stage")
    settings = stage["DefaultRouteSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (rate, burst)
    assert "RouteSettings" not in stage  # one of a route would replace it
    reserved = ", httpReserved=7" * (variant == "own")
    assert templates[variant]["Outputs"]["HttpLimit"]["Value"] == f"httpRate={rate}, httpBurst={burst}{reserved}"


def test_a_budget_warns_of_80_percent_and_of_a_forecast_of_100(templates: Mapping[str, Template]) -> None:
    assert [variant for variant, made in templates.items() if "Budget" in made["Resources"]] == ["own"]
    budget = properties(templates["own"], "Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
    assert (budget["Budget"]["TimeUnit"], budget["Budget"]["BudgetType"]) == ("MONTHLY", "COST")
    assert text(budget["Budget"]["BudgetName"]) == "${AWS::StackName}-${AWS::Region}"  # unique in the account
    warned = [(each["Notification"], each["Subscribers"]) for each in budget["NotificationsWithSubscribers"]]
    mail = [{"SubscriptionType": "EMAIL", "Address": "ops@example.com"}]
    greater = {"ComparisonOperator": "GREATER_THAN"}
    assert warned == [
        ({"NotificationType": "ACTUAL", "Threshold": 80, **greater}, mail),
        ({"NotificationType": "FORECASTED", "Threshold": 100, **greater}, mail),
    ]


def test_stages_share_no_name(templates: Mapping[str, Template]) -> None:
    names = [
        properties(templates[variant], name)["FunctionName"] for variant in ("dev", "prod", "own") for name in FUNCTIONS
    ]
    assert names[:3] == ["tile-seeder-dev-http", "tile-seeder-dev-worker", "tile-seeder-dev-bake"]
    assert len(set(names)) == len(names)


def test_no_versions_of_functions_are_kept(template: Template) -> None:
    assert list(of_type(template, "AWS::Lambda::Version")) == []


WEBSITE = "${TileBucket.WebsiteURL}"
REST = "https://${TileBucket.RegionalDomainName}"
IN_PATH = "https://s3.${AWS::Region}.${AWS::URLSuffix}/${TileBucket}"  # certificates fit no bucket with dots


@pytest.mark.parametrize(
    ("variant", "url", "direct"),
    [("dev", WEBSITE, REST), ("prod", WEBSITE, REST), ("own", "https://tiles.example.com", IN_PATH)],
)
def test_functions_know_the_stores_and_the_addresses(
    templates: Mapping[str, Template], variant: str, url: str, direct: str
) -> None:
    variants = "layer,webp@2x" if variant == "own" else "layer,layer@2x"
    shared = {
        "TILER_TILES": "s3://${TileBucket}",
        "TILER_SOURCES": "s3://${SourceBucket}",
        "TILER_URL": url,
        "TILER_DIRECT": direct,
    }
    assert variables(templates[variant], "HttpLambdaFunction") == {**shared, "TILER_VARIANTS": variants}
    assert variables(templates[variant], "WorkerLambdaFunction") == {
        **shared,
        "TILER_QUEUE": "${Queue}",
        "POWERTOOLS_LOG_LEVEL": "DEBUG" if variant == "own" else "INFO",
    }
    own = {"POWERTOOLS_LOG_LEVEL": "DEBUG", "TILER_CLOUDFRONT": "E1A2B3C4D5E6F7"}
    assert variables(templates[variant], "BakeLambdaFunction") == {
        **shared,
        "TILER_QUEUE": "${Queue}",
        "TILER_BAKE_QUEUE": "${BakeQueue}",
        **(own if variant == "own" else {"POWERTOOLS_LOG_LEVEL": "INFO"}),
    }
    outputs = templates[variant]["Outputs"]
    assert (text(outputs["WebsiteUrl"]["Value"]), text(outputs["TileUrl"]["Value"])) == (url, direct)


@pytest.mark.parametrize(("variant", "level"), [("dev", "INFO"), ("own", "DEBUG")])
def test_lambda_writes_the_http_function_s_log_as_json(
    templates: Mapping[str, Template], variant: str, level: str
) -> None:
    logging = properties(templates[variant], "HttpLambdaFunction")["LoggingConfig"]
    assert logging == {"LogFormat": "JSON", "ApplicationLogLevel": level}
    assert "LoggingConfig" not in properties(templates[variant], "WorkerLambdaFunction")  # Powertools writes JSON


def test_no_rule_of_a_bucket_deletes_by_age_under_sources(templates: Mapping[str, Template]) -> None:
    """Expiry of jobs is up to the commands; see `seeder.jobs.expiry`."""
    for template in templates.values():
        for bucket in ("TileBucket", "SourceBucket"):
            for rule in properties(template, bucket).get("LifecycleConfiguration", {}).get("Rules", []):
                by_age = {name for name in rule if "Expiration" in name or "Transition" in name}
                prefix = rule.get("Prefix", "")
                assert not by_age or not ("sources/".startswith(prefix) or prefix.startswith("sources/")), rule


LIST = {("s3:ListBucket", "${TileBucket.Arn}"), ("s3:ListBucket", "${SourceBucket.Arn}")}
TILES = {("s3:GetObject", "${TileBucket.Arn}/*"), ("s3:PutObject", "${TileBucket.Arn}/*")}
SOURCES = {("s3:GetObject", "${SourceBucket.Arn}/sources/*")}
JOBS = {("s3:GetObject", "${SourceBucket.Arn}/jobs/*"), ("s3:PutObject", "${SourceBucket.Arn}/jobs/*")}
WORK_OFF = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility", "SendMessage")
BURY = ("GetQueueUrl", "SendMessage")


def on_queue(name: str, verbs: Iterable[str]) -> set[tuple[str, str]]:
    return {(f"sqs:{verb}", f"${{{name}.Arn}}") for verb in verbs}


def logs(group: str) -> set[tuple[str, str]]:
    return {("logs:CreateLogStream", f"${{{group}.Arn}}"), ("logs:PutLogEvents", f"${{{group}.Arn}}")}


def test_the_http_function_may_do_this_and_no_more(template: Template) -> None:
    assert grants(template, "HttpRole") == LIST | TILES | SOURCES | logs("HttpLogGroup")


def test_the_worker_may_do_this_and_no_more(template: Template) -> None:
    assert grants(template, "WorkerRole") == (
        LIST
        | TILES
        | SOURCES
        | JOBS
        | on_queue("Queue", WORK_OFF)
        | on_queue("DeadLetterQueue", BURY)
        | logs("WorkerLogGroup")
    )


DELETE = {("s3:DeleteObject", "${TileBucket.Arn}/*"), ("s3:DeleteObject", "${SourceBucket.Arn}/jobs/*")}
PRIVATE = {
    (f"s3:{verb}", "${SourceBucket.Arn}/*")
    for verb in ("GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts")
}
SCENES = {
    ("s3:GetObject", "arn:${AWS::Partition}:s3:::flights/*"),
    ("s3:ListBucket", "arn:${AWS::Partition}:s3:::flights"),
    ("s3:GetObject", "arn:aws:s3:::survey-*/*"),
    ("s3:ListBucket", "arn:aws:s3:::survey-*"),
}
INVALIDATE = {
    (f"cloudfront:{verb}", "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/E1A2B3C4D5E6F7")
    for verb in ("CreateInvalidation", "GetInvalidation")
}


@pytest.mark.parametrize(("variant", "more"), [("dev", set()), ("prod", set()), ("own", SCENES | INVALIDATE)])
def test_the_bake_function_may_do_this_and_no_more(
    templates: Mapping[str, Template], variant: str, more: set[tuple[str, str]]
) -> None:
    assert grants(templates[variant], "BakeRole") == (
        LIST
        | TILES
        | PRIVATE
        | DELETE
        | more
        | on_queue("BakeQueue", WORK_OFF)
        | on_queue("BakeDeadLetters", BURY)
        | on_queue("Queue", ["GetQueueAttributes", "SendMessage"])
        | logs("BakeLogGroup")
    )


@pytest.mark.parametrize("role", ["HttpRole", "WorkerRole"])
def test_no_role_may_delete_from_s3_or_holds_a_wildcard(template: Template, role: str) -> None:
    for action, resource in grants(template, role):
        assert "*" not in action
        assert not action.startswith("s3:Delete")
        assert resource.startswith("${")  # something of this stack, never everything


def test_each_function_has_its_own_role_that_only_lambda_takes(template: Template) -> None:
    roles = {text(properties(template, name)["Role"]) for name in FUNCTIONS}
    assert roles == {"${HttpRole.Arn}", "${WorkerRole.Arn}", "${BakeRole.Arn}"}
    for role in of_type(template, "AWS::IAM::Role"):
        assert "RoleName" not in role
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert len(list(of_type(template, "AWS::IAM::Role"))) == len(FUNCTIONS)


@pytest.mark.parametrize(
    ("function", "group", "role"),
    [(f"{name}LambdaFunction", f"{name}LogGroup", f"{name}Role") for name in ("Http", "Worker", "Bake")],
)
def test_log_groups_are_there_before_a_function_writes(
    template: Template, function: str, group: str, role: str
) -> None:
    assert {group, role} <= set(template["Resources"][function]["DependsOn"])
    assert (
        properties(template, group)["LogGroupName"] == f"/aws/lambda/{properties(template, function)['FunctionName']}"
    )


@pytest.mark.parametrize(("variant", "days"), [("dev", 14), ("prod", 90)])
def test_logs_are_kept_for_so_many_days(templates: Mapping[str, Template], variant: str, days: int) -> None:
    groups = list(of_type(templates[variant], "AWS::Logs::LogGroup"))
    assert [group["RetentionInDays"] for group in groups] == [days, days, days]


def test_the_api_sends_everything_to_the_http_function(template: Template) -> None:
    (route,) = of_type(template, "AWS::ApiGatewayV2::Route")
    (integration,) = of_type(template, "AWS::ApiGatewayV2::Integration")
    (permission,) = of_type(template, "AWS::Lambda::Permission")
    assert route["RouteKey"] == "$default"
    assert integration["PayloadFormatVersion"] == "2.0"
    assert text(integration["IntegrationUri"]) == "${HttpLambdaFunction.Arn}"
    assert text(permission["FunctionName"]) == "${HttpLambdaFunction.Arn}"
    assert text(permission["SourceArn"]).endswith(":${HttpApi}/*")


def test_pages_from_anywhere_may_read_the_api_and_the_tiles(template: Template) -> None:
    api = properties(template, "HttpApi")["CorsConfiguration"]
    assert (api["AllowMethods"], api["AllowOrigins"], api["AllowHeaders"]) == (["GET", "HEAD"], ["*"], ["*"])
    (rule,) = properties(template, "TileBucket")["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"], rule["AllowedHeaders"]) == (["GET", "HEAD"], ["*"], ["*"])
    assert rule["MaxAge"] == api["MaxAge"] == 86400


def test_a_missing_tile_redirects_to_the_api_under_its_own_key(template: Template) -> None:
    website = properties(template, "TileBucket")["WebsiteConfiguration"]
    to_api = {
        "HostName": {"Fn::Sub": "${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"},
        "Protocol": "https",
        "HttpRedirectCode": "307",
    }
    assert website == {
        "IndexDocument": "index.html",
        "RoutingRules": [
            {"RoutingRuleCondition": {"HttpErrorCodeReturnedEquals": code}, "RedirectRule": to_api}
            for code in ("403", "404")
        ],
    }


def test_anybody_may_read_tiles_and_do_nothing_else(template: Template) -> None:
    policy = properties(template, "TileBucketPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert text(policy["Bucket"]) == "${TileBucket}"
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Allow", "*", "s3:GetObject")
    assert text(statement["Resource"]) == "${TileBucket.Arn}/*"
    assert "Condition" not in statement


@pytest.mark.parametrize(
    ("bucket", "blocked"), [("TileBucket", False), ("SourceBucket", True), ("ServerlessDeploymentBucket", True)]
)
def test_only_a_policy_on_the_tile_bucket_can_be_public(template: Template, bucket: str, blocked: bool) -> None:
    assert properties(template, bucket)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": blocked,
        "RestrictPublicBuckets": blocked,
    }


def test_the_public_policy_comes_after_the_opened_block_has_settled(template: Template) -> None:
    assert template["Resources"]["TileBucketPolicy"]["DependsOn"] == ["HttpRole"]
    assert any(
        "TileBucket" in resource for _, resource in grants(template, "HttpRole")
    )  # so the role follows the bucket


@pytest.mark.parametrize("bucket", ["TileBucket", "SourceBucket"])
def test_no_object_has_an_acl(template: Template, bucket: str) -> None:
    owned = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert properties(template, bucket)["OwnershipControls"] == owned


def test_sources_are_encrypted_and_broken_uploads_go(template: Template) -> None:
    bucket = properties(template, "SourceBucket")
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert set(rule) == {"Id", "Status", "AbortIncompleteMultipartUpload"}  # nothing that expires sources
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 14}  # 60 GB over 1 Mbit/s take 6 days


def test_buckets_are_deleted_with_the_stack_and_named_only_when_asked(templates: Mapping[str, Template]) -> None:
    names = {}
    for variant, made in templates.items():
        buckets = [made["Resources"][name] for name in ("TileBucket", "SourceBucket")]
        assert all("DeletionPolicy" not in bucket for bucket in buckets)
        names[variant] = [bucket["Properties"].get("BucketName") for bucket in buckets]
    own = ["tiles.example.com", None]
    assert names == {"dev": [None, None], "prod": [None, None], "x86_64": [None, None], "own": own}


def test_a_message_stays_hidden_for_six_times_the_worker_s_timeout(template: Template) -> None:
    timeout = properties(template, "WorkerLambdaFunction")["Timeout"]
    assert properties(template, "Queue")["VisibilityTimeout"] == 6 * timeout


def test_a_message_that_failed_five_times_is_kept_aside(template: Template) -> None:
    redrive = properties(template, "Queue")["RedrivePolicy"]
    assert redrive["maxReceiveCount"] == 5
    assert text(redrive["deadLetterTargetArn"]) == "${DeadLetterQueue.Arn}"
    bakes = properties(template, "BakeQueue")["RedrivePolicy"]
    assert bakes["maxReceiveCount"] == 5
    assert text(bakes["deadLetterTargetArn"]) == "${BakeDeadLetters.Arn}"
    kept = [each["MessageRetentionPeriod"] for each in of_type(template, "AWS::SQS::Queue")]
    assert kept == [14 * 24 * 3600] * 4


def test_a_part_of_a_killed_function_is_baked_again_a_minute_after_the_longest_bake(template: Template) -> None:
    """Lambda takes no queue whose visibility timeout is shorter than the function's."""
    timeout = properties(template, "BakeLambdaFunction")["Timeout"]
    assert properties(template, "BakeQueue")["VisibilityTimeout"] == timeout + 60


@pytest.mark.parametrize(("variant", "batch", "workers"), [("dev", 5, 32), ("prod", 5, 64), ("own", 10, 1000)])
def test_the_queue_feeds_the_worker(templates: Mapping[str, Template], variant: str, batch: int, workers: int) -> None:
    mapping = feeds(templates[variant])["${Queue.Arn}"]
    assert text(mapping["FunctionName"]) == "${WorkerLambdaFunction.Arn}"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == batch
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": workers}


def feeds(template: Template) -> dict[str, Any]:
    """The event-source mappings by their queues."""
    return {text(each["EventSourceArn"]): each for each in of_type(template, "AWS::Lambda::EventSourceMapping")}


@pytest.mark.parametrize(("variant", "bakes"), [("dev", 32), ("prod", 32), ("own", 100)])
def test_the_bake_queue_feeds_the_bake_function_one_message_at_a_time(
    templates: Mapping[str, Template], variant: str, bakes: int
) -> None:
    made = feeds(templates[variant])
    assert made.keys() == {"${Queue.Arn}", "${BakeQueue.Arn}"}
    mapping = made["${BakeQueue.Arn}"]
    assert text(mapping["FunctionName"]) == "${BakeLambdaFunction.Arn}"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == 1
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": bakes}


@pytest.mark.parametrize(
    ("variant", "age", "minute", "actions"),  # `minute`: requests that API Gateway passes in one
    [("dev", 3600, 60 * 100 + 300, []), ("prod", 3600, 60 * 100 + 300, []), ("own", 600, 60 * 20 + 40, [TOPIC])],
)
def test_alarms_watch_queues_functions_the_api_and_tiles_that_could_not_be_stored(
    templates: Mapping[str, Template], variant: str, age: int, minute: int, actions: list[str]
) -> None:
    alarms = list(of_type(templates[variant], "AWS::CloudWatch::Alarm"))
    watched = {
        (alarm["MetricName"], *(text(each["Value"]) for each in alarm.get("Dimensions", ())), alarm["Threshold"])
        for alarm in alarms
    }
    assert watched == {
        ("ApproximateNumberOfMessagesVisible", "${DeadLetterQueue.QueueName}", 0),
        ("ApproximateAgeOfOldestMessage", "${Queue.QueueName}", age),
        ("ApproximateNumberOfMessagesVisible", "${BakeDeadLetters.QueueName}", 0),
        ("ApproximateAgeOfOldestMessage", "${BakeQueue.QueueName}", age),
        ("Errors", "${BakeLambdaFunction}", 0),
        ("Throttles", "${BakeLambdaFunction}", 0),
        ("Errors", "${HttpLambdaFunction}", 0),
        ("Errors", "${WorkerLambdaFunction}", 0),
        ("Throttles", "${HttpLambdaFunction}", 0),
        ("Throttles", "${WorkerLambdaFunction}", 0),
        ("Invocations", "${HttpLambdaFunction}", 3000),
        ("NotStored", 0),
        ("5xx", "${HttpApi}", 0),
        ("Count", "${HttpApi}", minute),
    }
    for alarm in alarms:
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == alarm["OKActions"] == actions


def test_each_stage_has_a_dashboard_unless_it_is_omitted(templates: Mapping[str, Template]) -> None:
    for variant, made in templates.items():
        assert ("Dashboard" in made["Resources"]) == ("Dashboard" in made["Outputs"]) == (variant != "x86_64")
    dashboard = properties(templates["prod"], "Dashboard")
    assert dashboard["DashboardName"] == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}
    assert json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]


CHOSEN = {
    "Delivery",
    "WebsiteUrl",
    "TileUrl",
    "CloudFront",
    "Dashboard",
    "HttpLimit",
    "GivenParams",
    "SceneBuckets",
}  # by params


def test_the_stack_tells_where_everything_is(template: Template) -> None:
    outputs = {name: text(output["Value"]) for name, output in template["Outputs"].items()}
    assert outputs["ServerlessDeploymentBucketName"] == "${ServerlessDeploymentBucket}"
    ours = {name for name in outputs if not name.startswith(("ServerlessDeployment", "HttpApi"))}
    assert {name: outputs[name] for name in ours - CHOSEN} == {
        "TileBucket": "${TileBucket}",
        "SourceBucket": "${SourceBucket}",
        "QueueUrl": "${Queue}",
        "DeadLetterQueueUrl": "${DeadLetterQueue}",
        "BakeQueueUrl": "${BakeQueue}",
        "BakeDeadLetterQueueUrl": "${BakeDeadLetters}",
        "ApiUrl": "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}",
        "HttpFunction": "${HttpLambdaFunction}",
        "WorkerFunction": "${WorkerLambdaFunction}",
        "BakeFunction": "${BakeLambdaFunction}",
        "MetadataVersion": str(METADATA),  # the functions are deployed with this code
    }


def test_the_stack_keeps_the_params_of_the_command_line(templates: Mapping[str, Template]) -> None:
    kept = {variant: json.loads(made["Outputs"]["GivenParams"]["Value"]) for variant, made in templates.items()}
    for variant, arguments in VARIANTS.items():
        given = (word.split("=", 1) for word in arguments if "=" in word)  # as typed
        assert kept[variant] == {"delivery": "website"} | dict(given)


def test_the_stack_tells_the_distribution_or_that_there_is_none(templates: Mapping[str, Template]) -> None:
    told = {variant: made["Outputs"]["CloudFront"]["Value"] for variant, made in templates.items()}
    assert told == {"dev": "none", "prod": "none", "x86_64": "none", "own": "E1A2B3C4D5E6F7"}


def test_the_stack_tells_the_buckets_of_scenes(templates: Mapping[str, Template]) -> None:
    told = {variant: made["Outputs"]["SceneBuckets"]["Value"] for variant, made in templates.items()}
    own = "flights,arn:aws:s3:::survey-*"
    assert told == {"dev": "none", "prod": "none", "x86_64": "none", "own": own}
