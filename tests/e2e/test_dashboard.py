"""The dashboard and the alarms watch metrics that exist, and the dashboard's dollars are those of the prices."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.prices import BAKE_PUTS, DeliveryPrices, Prices, bake_second
from tests.e2e.metrics import Metric, known, not_stored
from tests.e2e.template import read_yaml
from tests.support.paths import ROOT

DELIVERIES = ("website", "cloudfront")
OF_REGION, GLOBAL = "${AWS::Region}", "us-east-1"
SIZES = {"httpMemory": 1024, "workerMemory": 1769, "bakeMemory": 3538, "bakeStorage": 4096}
PRICES, OF_DELIVERY = Prices(), DeliveryPrices()


@cache
def monitoring(delivery: str, region: str = GLOBAL, **params: Any) -> dict[str, Any]:
    """What deploy/dashboard.js adds to a stack."""
    given = {"delivery": delivery, "dashboard": True, "cacheMetrics": False, "arch": "arm64", **SIZES, **params}
    script = f"console.log(JSON.stringify(require('./deploy/dashboard')({json.dumps(given)}, {json.dumps(region)})))"
    done = subprocess.run(["node", "-e", script], cwd=ROOT, check=True, capture_output=True, text=True)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def widgets(delivery: str, **params: Any) -> list[dict[str, Any]]:
    body = monitoring(delivery, **params)["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    found: list[dict[str, Any]] = json.loads(body)["widgets"]
    return found


def graphs(delivery: str, **params: Any) -> list[dict[str, Any]]:
    return [each["properties"] for each in widgets(delivery, **params) if each["type"] == "metric"]


def named(value: str) -> str:
    return value.removeprefix("${").removesuffix("}")


def metrics(graph: dict[str, Any]) -> list[tuple[Metric, dict[str, Any]]]:
    """The metrics of a graph with their options, without the expressions."""
    found = []
    for *words, options in graph["metrics"]:
        if words:
            namespace, name, *dimensions = words
            pairs = zip(dimensions[::2], map(named, dimensions[1::2]), strict=True)
            found.append((Metric(namespace, name, tuple(pairs)), options))
    return found


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_every_metric_of_the_dashboard_exists(delivery: str) -> None:
    for params in ({}, {"cacheMetrics": True}) if delivery == "cloudfront" else ({},):
        shown = {metric for graph in graphs(delivery, **params) for metric, _ in metrics(graph)}
        assert shown <= known(delivery, cache_metrics=bool(params))
        assert len(shown) <= 50  # of a free dashboard


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_metric_is_read_in_the_region_that_has_it_and_no_expression_mixes_regions(delivery: str) -> None:
    for graph in graphs(delivery):
        regions = set()
        for metric, options in metrics(graph):
            region = options.get("region", graph["region"])
            assert region == (GLOBAL if metric.namespace == "AWS/CloudFront" else OF_REGION), metric
            regions.add(region)
        assert len(regions) == 1 or not any("expression" in options for *_, options in graph["metrics"])


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_widgets_cover_no_other(delivery: str) -> None:
    taken: set[tuple[int, int]] = set()
    for each in widgets(delivery):
        cells = {
            (column, row)
            for column in range(each["x"], each["x"] + each["width"])
            for row in range(each["y"], each["y"] + each["height"])
        }
        assert not taken & cells
        assert max(column for column, _ in cells) < 24
        taken |= cells


def resources(delivery: str) -> dict[str, Any]:
    return {
        **read_yaml(ROOT / "deploy" / "alarms.yml")["Resources"],
        **read_yaml(ROOT / "deploy" / f"alarms-{delivery}.yml")["Resources"],
    }


def alarms(delivery: str) -> dict[str, dict[str, Any]]:
    return {
        name: each["Properties"]
        for name, each in resources(delivery).items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_every_alarm_watches_a_metric_that_exists_and_none_minds_silence(delivery: str) -> None:
    for name, alarm in alarms(delivery).items():
        dimensions = tuple((each["Name"], each["Value"]) for each in alarm.get("Dimensions", ()))
        assert Metric(alarm["Namespace"], alarm["MetricName"], dimensions) in known(delivery), name
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["AlarmActions"] == alarm["OKActions"] == "${self:custom.alarmActions}"
        assert alarm.get("DatapointsToAlarm", 1) <= alarm["EvaluationPeriods"]


def test_only_a_stack_in_the_region_of_cloudfront_has_an_alarm_on_its_metrics() -> None:
    conditions = read_yaml(ROOT / "deploy" / "alarms-cloudfront.yml")["Conditions"]
    assert conditions == {"InRegionOfCloudFront": ["AWS::Region", GLOBAL]}
    for name, each in resources("cloudfront").items():
        of_cloudfront = each["Properties"].get("Namespace") == "AWS/CloudFront"
        assert of_cloudfront == (each.get("Condition") == "InRegionOfCloudFront"), name


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_dashboard_shows_every_alarm_that_every_region_has(delivery: str) -> None:
    (shown,) = (each["properties"]["alarms"] for each in widgets(delivery) if each["type"] == "alarm")
    everywhere = {name for name in alarms(delivery) if "Condition" not in resources(delivery)[name]}
    assert {named(each).removesuffix(".Arn") for each in shown} == everywhere


def test_the_filter_counts_the_line_of_a_tile_that_could_not_be_stored() -> None:
    counts = resources("website")["NotStoredFilter"]["Properties"]
    (transformation,) = counts["MetricTransformations"]
    assert Metric(transformation["MetricNamespace"], transformation["MetricName"], ()) == not_stored()
    assert "DefaultValue" not in transformation  # which would bill every hour
    assert counts["LogGroupName"] == "HttpLogGroup"
    message = re.fullmatch(r'\{ \$\.message = "([^"]+)" \}', counts["FilterPattern"])
    assert message
    assert f'log.error("{message[1]}"' in (ROOT / "tiler" / "http.py").read_text()  # at every logLevel


amounts = st.floats(0, 1e9, allow_subnormal=False)
TIMES, LOGS = ("httpMs", "workerMs", "bakeMs"), ("httpLog", "workerLog", "bakeLog")
COUNTS = (*TIMES, *LOGS, "calls", "batches", "bakes", "tiles", "blocks", "requests", "bytes")


def estimated(graph: dict[str, Any], amount: dict[str, float]) -> dict[str, float]:
    """The values of a graph's expressions."""
    hidden = {options["id"] for _, options in metrics(graph) if options.get("visible") is False}
    found = {}
    for words in graph["metrics"]:
        if "expression" in words[-1]:
            used = set(re.findall(r"FILL\((\w+), 0\)", words[-1]["expression"]))
            assert used <= hidden
            expression = re.sub(r"FILL\((\w+), 0\)", r"\1", words[-1]["expression"])
            assert re.fullmatch(r"[\w\s.+*/()]+", expression)
            found[words[-1]["label"]] = eval(expression, {"__builtins__": {}}, dict(amount))
    return found


@given(values=st.lists(amounts, min_size=len(COUNTS), max_size=len(COUNTS)))
@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(("arch", "second"), [("arm64", PRICES.lambda_gb_second), ("x86_64", 0.0000166667)])
def test_the_dollars_of_the_dashboard_are_those_of_the_prices(
    delivery: str, arch: str, second: float, values: list[float]
) -> None:
    amount = dict(zip(COUNTS, values, strict=True))
    found: dict[str, float] = {}
    for graph in graphs(delivery, arch=arch):
        for label, dollars in estimated(graph, amount).items():
            assert found.setdefault(label, dollars) == dollars  # by hour, and in the time shown
    gigabyte_seconds = amount["httpMs"] / 1000 + amount["workerMs"] / 1000 * 1769 / 1024
    baking = amount["bakeMs"] / 1000 * bake_second(replace(PRICES, lambda_gb_second=second))
    invoked = (amount["calls"] + amount["batches"] + amount["bakes"]) / 1e6
    puts = amount["calls"] + amount["tiles"] + amount["blocks"] + BAKE_PUTS * amount["bakes"]
    expected = {
        "Lambda": gigabyte_seconds * second + baking + invoked * PRICES.lambda_million_requests,
        "S3, PUTs at most": puts / 1e6 * PRICES.s3_million_puts,
        "logs": sum(amount[name] for name in LOGS) / 1e9 * PRICES.logs_gb,
    }
    if delivery == "website":
        expected["API"] = amount["requests"] / 1e6 * OF_DELIVERY.api_million_requests
    else:
        each = OF_DELIVERY.cloudfront_million_requests + OF_DELIVERY.cloudfront_million_functions
        expected["requests"] = amount["requests"] / 1e6 * each
        expected["transfer"] = amount["bytes"] / 1e9 * OF_DELIVERY.cloudfront_gb[0][1]
    assert found == pytest.approx(expected)


def test_a_dashboard_can_be_omitted_and_its_address_is_that_of_the_partition() -> None:
    assert monitoring("website", dashboard=False) == {"Resources": {}, "Outputs": {}}
    hosts = {"eu-central-1": "aws.amazon.com", "cn-north-1": "amazonaws.cn", "us-gov-west-1": "amazonaws-us-gov.com"}
    for region, host in hosts.items():
        address = monitoring("website", region)["Outputs"]["Dashboard"]["Value"]["Fn::Sub"]
        assert address.startswith(f"https://${{AWS::Region}}.console.{host}/cloudwatch/home?region=${{AWS::Region}}#")
        assert address.endswith("/${Dashboard}")
    assert monitoring("website", "us-iso-east-1")["Outputs"]["Dashboard"]["Value"] == {"Ref": "Dashboard"}


def test_cache_hits_are_counted_only_on_request() -> None:
    assert "CacheMetrics" not in monitoring("cloudfront")["Resources"]
    added = monitoring("cloudfront", cacheMetrics=True, dashboard=False)["Resources"]
    assert [each["Type"] for each in added.values()] == ["AWS::CloudFront::MonitoringSubscription"]
