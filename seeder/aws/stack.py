"""Outputs of a deployed stack: buckets, queues and addresses by the stack's name alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seeder.aws import clients
from tiler.errors import BadCloud
from tiler.settings import Settings

NEEDED = ("TileBucket", "SourceBucket", "QueueUrl", "WebsiteUrl", "TileUrl")
EARLIEST = "1"  # version of the metadata that functions of stacks without the output read


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack in CloudFormation: its status, its outputs by name, its region and its termination protection."""

    name: str
    status: str
    outputs: dict[str, str]
    region: str = ""
    protected: bool = False

    @property
    def protection(self) -> str:
        """The obstacle of a protected stack, with its cure; deploy/removal.js prints the same."""
        options = f"--no-enable-termination-protection --region {self.region} --stack-name {self.name}"
        lift = f"aws cloudformation update-termination-protection {options}"
        return f"stack {self.name} has termination protection; to lift it: {lift}"

    @property
    def delivery(self) -> str:
        """`cloudfront` or `website`; stacks of earlier versions are websites."""
        return self.outputs.get("Delivery", "website")

    def settings(self, base: Settings) -> Settings:
        """`base` with the stack's stores, addresses and queues; stacks of earlier versions have no bake queue.

        Raises:
            BadCloud: outputs are missing: this is another kind of stack, or its deployment did not finish.
        """
        missing = [name for name in NEEDED if not self.outputs.get(name)]
        if missing:
            raise BadCloud(
                f"stack {self.name!r} ({self.status}) has no output {', '.join(missing)}: "
                "give the name of a stack made by `npm run deploy`, or deploy again"
            )
        return replace(
            base,
            tiles=f"s3://{self.outputs['TileBucket']}",
            sources=f"s3://{self.outputs['SourceBucket']}",
            url=self.outputs["WebsiteUrl"].rstrip("/"),
            direct=self.outputs["TileUrl"].rstrip("/"),
            queue=self.outputs["QueueUrl"],
            bake_queue=self.outputs.get("BakeQueueUrl", ""),
            stack=self.name,
            cloudfront=self.outputs.get("CloudFront", "").replace("none", ""),
            readers=int(self.outputs.get("MetadataVersion", EARLIEST)),
        )


def read_stack(name: str, region: str) -> Stack:
    """Read the stack with this name.

    Raises:
        BadCloud: it does not exist, or access is denied.
        QueueError: CloudFormation does not answer.
    """
    client = clients.client("cloudformation", region)
    with clients.translated(f"read stack {name!r} in {client.meta.region_name}"):
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    protected = bool(stack.get("EnableTerminationProtection"))
    return Stack(name, stack["StackStatus"], outputs, client.meta.region_name, protected)
