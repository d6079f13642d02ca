"""A deployed stack's outputs, so that nobody copies names of buckets and queues."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seeder.aws import clients
from tiler.errors import BadCloud
from tiler.settings import Settings

NEEDED = ("TileBucket", "SourceBucket", "QueueUrl", "WebsiteUrl", "TileUrl")


@dataclass(frozen=True, slots=True)
class Stack:
    """What CloudFormation says of a stack: its status and its outputs by name."""

    name: str
    status: str
    outputs: dict[str, str]

    def settings(self, base: Settings) -> Settings:
        """`base` with the stack's stores, addresses and queue.

        Raises:
            BadCloud: it lacks outputs, so it is not one of ours or was not deployed to the end.
        """
        missing = [name for name in NEEDED if not self.outputs.get(name)]
        if missing:
            raise BadCloud(
                f"stack {self.name!r} ({self.status}) has no output {', '.join(missing)}: "
                "name the stack that `npm run deploy` made, or deploy again"
            )
        return replace(
            base,
            tiles=f"s3://{self.outputs['TileBucket']}",
            sources=f"s3://{self.outputs['SourceBucket']}",
            url=self.outputs["WebsiteUrl"].rstrip("/"),
            direct=self.outputs["TileUrl"].rstrip("/"),
            queue=self.outputs["QueueUrl"],
            stack=self.name,
            cloudfront=self.outputs.get("CloudFront", "").replace("none", ""),
        )


def read_stack(name: str, region: str) -> Stack:
    """The stack of that name.

    Raises:
        BadCloud: there is none, or it may not be looked at.
        QueueError: CloudFormation does not answer.
    """
    client = clients.client("cloudformation", region)
    with clients.translated(f"read stack {name!r} in {client.meta.region_name}"):
        found = client.describe_stacks(StackName=name)["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    return Stack(name, found["StackStatus"], outputs)
