"""The deployer's policy allows what CloudFormation needs for the stack's resources, and nothing more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import pytest

from tests.e2e.serverless import lay_out, packaged
from tests.e2e.template import Template, of_type
from tests.support.aws_actions import FRAMEWORK, LIMITS, LOGS, PROTECTION, allowed
from tests.support.paths import ROOT

# By type, the permissions of the handlers that create, read, update and delete it, from CloudFormation's registry:
# `aws cloudformation describe-type --type RESOURCE --type-name TYPE`. It has none of budgets: those are of their API.
HANDLERS: dict[str, list[str]] = json.loads((ROOT / "tests/data/cloudformation_handlers.json").read_text())
UNUSED = {  # permissions that only a property needs which no resource has; empty: see the comment
    "ec2:*": "VpcConfig",
    "elasticfilesystem:*": "FileSystemConfigs",
    "firehose:*": "DataProtectionPolicy",
    "kms:*": "KmsKeyArn",
    "s3files:*": "FileSystemConfigs",
    "s3tables:*": "MetadataTableConfiguration",
    "cloudfront:*ConnectionGroup": "TenantConfig",
    "cloudfront:GetVpcOrigin": "VpcOriginConfig",
    "cloudfront:UpdateDistributionWithStagingConfig": "Staging",
    "iam:*tachRolePolicy": "ManagedPolicyArns",
    "iam:UpdateRole": "MaxSessionDuration",
    "iam:UpdateRoleDescription": "Description",
    "lambda:*CodeSigningConfig": "CodeSigningConfigArn",
    "lambda:GetLayerVersion": "Layers",
    "lambda:PassCapacityProvider": "CapacityProviderConfig",
    "lambda:PublishVersion": "PublishToLatestPublished",
    "lambda:PutFunctionScalingConfig": "FunctionScalingConfig",
    "lambda:PutRuntimeManagementConfig": "RuntimeManagementConfig",
    "logs:*KmsKey": "KmsKeyId",
    "logs:*DataProtectionPolicy": "DataProtectionPolicy",
    "logs:*ResourcePol*": "ResourcePolicyDocument",
    "logs:CreateLogDelivery": "DataProtectionPolicy",
    "logs:DeleteRetentionPolicy": "",  # the retention is always set
    "s3:*Accelerate*": "AccelerateConfiguration",
    "s3:*Acl": "AccessControl",
    "s3:*Analytics*": "AnalyticsConfigurations",
    "s3:*IntelligentTiering*": "IntelligentTieringConfigurations",
    "s3:*Inventory*": "InventoryConfigurations",
    "s3:*Logging": "LoggingConfiguration",
    "s3:*MetadataTable*": "MetadataTableConfiguration",
    "s3:*Metrics*": "MetricsConfigurations",
    "s3:*Notification": "NotificationConfiguration",
    "s3:*ObjectLock*": "ObjectLockConfiguration",
    "s3:*Replication*": "ReplicationConfiguration",
    "s3:*Versioning": "VersioningConfiguration",
    "s3:DeleteBucketCors": "",  # IAM has no such action: Put includes it
    "s3:DeleteBucketEncryption": "",
    "s3:DeleteBucketLifecycle": "",
    "s3:GetObjectVersion": "S3ObjectVersion",
    "s3:REST.PUT.OBJECT": "DataProtectionPolicy",
    "s3:getObject": "BodyS3Location",
}
BOUNDARY = "arn:aws:iam::123456789012:policy/bound"
PARAMS = (
    f"permissionsBoundary={BOUNDARY}",
    "tags=team=maps,cost=4=2",
    "httpReserved=7",
    "budget=9",
    "budgetEmail=a@b.test",
)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Template]:
    """The template of each delivery."""
    folder, out = lay_out(tmp_path_factory.mktemp("service")), tmp_path_factory.mktemp("package")
    return {
        name: packaged(folder, out / name, *(word for param in (*PARAMS, *own) for word in ("--param", param)))
        for name, own in {
            "cloudfront": ("delivery=cloudfront", "cacheMetrics=true"),
            "website": ("delivery=website",),
        }.items()
    }


def resources(templates: Mapping[str, Template]) -> Iterator[tuple[str, str]]:
    """The type of each resource, and its properties as text."""
    for template in templates.values():
        for resource in template["Resources"].values():
            yield resource["Type"], json.dumps(resource.get("Properties", {}))


def test_every_permission_for_a_resource_is_allowed_unless_its_property_is_unused(
    templates: Mapping[str, Template],
) -> None:
    granted = allowed("deployer")
    for kind, text in resources(templates):
        assert kind in HANDLERS, f"add the permissions of {kind}'s handlers to tests/data/cloudformation_handlers.json"
        for permission in HANDLERS[kind]:
            features = [name for pattern, name in UNUSED.items() if fnmatchcase(permission, pattern)]
            unused = features and not any(name and f'"{name}"' in text for name in features)
            assert permission in granted or unused, f"add {permission} for {kind} to deploy/policies/deployer.json"


def test_nothing_is_allowed_that_neither_a_resource_nor_the_framework_needs(templates: Mapping[str, Template]) -> None:
    needed = {permission for kind, _ in resources(templates) for permission in HANDLERS[kind]}
    assert allowed("deployer") - needed - FRAMEWORK - LIMITS - LOGS - PROTECTION == set()


def test_every_role_has_the_boundary(templates: Mapping[str, Template]) -> None:
    for template in templates.values():
        roles = list(of_type(template, "AWS::IAM::Role"))
        assert [role["PermissionsBoundary"] for role in roles] == [BOUNDARY] * 3


def test_the_functions_and_the_api_have_the_tags(templates: Mapping[str, Template]) -> None:
    """The framework writes these into the template; CloudFormation passes the stack's tags on to other resources."""
    tags = {"team": "maps", "cost": "4=2"}
    for template in templates.values():
        for function in of_type(template, "AWS::Lambda::Function"):
            assert {tag["Key"]: tag["Value"] for tag in function["Tags"]} == tags
    for kind in ("Api", "Stage"):
        assert [each["Tags"] for each in of_type(templates["website"], f"AWS::ApiGatewayV2::{kind}")] == [tags]
