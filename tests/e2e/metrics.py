"""Metrics that CloudWatch has, as AWS documents them, and those of our own, with the resources that dimensions name."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from tests.support.paths import ROOT

HTTP, WORKER, BAKE = "HttpLambdaFunction", "WorkerLambdaFunction", "BakeLambdaFunction"
QUEUES = ("Queue", "DeadLetterQueue", "BakeQueue", "BakeDeadLetters")
DISTRIBUTION = (("DistributionId", "Distribution"), ("Region", "Global"))

Dimensions = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """A metric of a namespace, with its dimensions: name, and logical id or attribute of a resource."""

    namespace: str
    name: str
    dimensions: Dimensions


# docs.aws.amazon.com: lambda/latest/dg/monitoring-metrics-types.html and urls-monitoring.html,
# apigateway/latest/developerguide/http-api-metrics.html, AmazonCloudFront/.../programming-cloudwatch-metrics.html,
# AWSSimpleQueueService/.../sqs-available-cloudwatch-metrics.html, AmazonCloudWatch/latest/logs/...-Metrics.html
DOCUMENTED: dict[str, tuple[set[str], list[Dimensions]]] = {
    "AWS/Lambda": (
        {"Invocations", "Errors", "Throttles", "Duration"},
        [(("FunctionName", function),) for function in (HTTP, WORKER, BAKE)],
    ),
    "AWS/ApiGateway": ({"Count", "4xx", "5xx", "Latency"}, [(("ApiId", "HttpApi"),)]),
    "AWS/CloudFront": ({"Requests", "BytesDownloaded", "4xxErrorRate", "5xxErrorRate"}, [DISTRIBUTION]),
    "AWS/SQS": (
        {
            *("ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"),
            "ApproximateAgeOfOldestMessage",
        },
        [(("QueueName", f"{queue}.QueueName"),) for queue in QUEUES],
    ),
    "AWS/Logs": ({"IncomingBytes"}, [(("LogGroupName", f"{name}LogGroup"),) for name in ("Http", "Worker", "Bake")]),
}
OF_URLS = {"UrlRequestCount", "Url4xxCount", "Url5xxCount", "UrlRequestLatency"}
OF_DELIVERY = {"website": {"AWS/ApiGateway"}, "cloudfront": {"AWS/CloudFront"}}


def known(delivery: str, *, cache_metrics: bool = False) -> set[Metric]:
    """Every metric that a stack with this delivery has."""
    foreign = set[str]().union(*(names for other, names in OF_DELIVERY.items() if other != delivery))
    found = {
        Metric(namespace, name, dimensions)
        for namespace, (names, resources) in DOCUMENTED.items()
        if namespace not in foreign
        for name in names
        for dimensions in resources
    }
    if delivery == "cloudfront":
        found |= {Metric("AWS/Lambda", name, (("FunctionName", HTTP),)) for name in OF_URLS}
    if cache_metrics:
        found.add(Metric("AWS/CloudFront", "CacheHitRate", DISTRIBUTION))
    return found | {Metric("TileSeeder", name, (("FunctionName", WORKER),)) for name in counted()} | {not_stored()}


def counted() -> set[str]:
    """The names of the metrics that the worker's code adds."""
    tree = ast.parse((ROOT / "seeder" / "workers" / "lambda_handler.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    added = [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_metric"]
    names = {node.value for each in added for node in ast.walk(each) if isinstance(node, ast.Constant)}
    return {name for name in names if isinstance(name, str) and re.fullmatch(r"[A-Z]\w+", name)}


def not_stored() -> Metric:
    """The metric of the filter on the HTTP function's log, deploy/alarms.yml."""
    return Metric("TileSeeder/${AWS::StackName}", "NotStored", ())
