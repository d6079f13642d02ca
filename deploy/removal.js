'use strict';

// Before `remove`, refuses a protected stack and buckets that hold anything: CloudFormation would fail at them after it
// has deleted half of the stack.

// osls's own copy of AWS's SDK, wherever npm put it.
const sdk = (service) => require(require.resolve(`@aws-sdk/client-${service}`, { paths: [require.resolve('serverless')] }));

const BUCKETS = ['TileBucket', 'SourceBucket'];
const ABSENT = 'ValidationError'; // CloudFormation's error for a stack or a resource that does not exist

const unless = async (code, request) => {
  try {
    return await request;
  } catch (error) {
    if (error.name !== code) throw error;
    return {};
  }
};

// What a bucket holds, in words, or nothing; a deleted bucket holds nothing.
const contents = async (s3, Bucket) => {
  const { ListObjectVersionsCommand, ListMultipartUploadsCommand } = sdk('s3');
  const one = { Bucket, MaxKeys: 1 };
  const { Versions = [], DeleteMarkers = [] } = await unless('NoSuchBucket', s3.send(new ListObjectVersionsCommand(one)));
  if (Versions.length + DeleteMarkers.length) return 'objects';
  const { Uploads = [] } = await unless('NoSuchBucket', s3.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 1 })));
  return Uploads.length ? 'unfinished uploads' : '';
};

module.exports = class Removal {
  constructor(serverless) {
    const provider = serverless.getProvider('aws');
    const refusal = (text) => new serverless.classes.Error(text, 'REMOVAL_REFUSED');

    const check = async () => {
      const config = await provider.getAwsSdkV3Config();
      const { CloudFormationClient, DescribeStacksCommand, DescribeStackResourceCommand } = sdk('cloudformation');
      const cloudFormation = new CloudFormationClient(config);
      const [StackName, region] = [provider.naming.getStackName(), provider.getRegion()];
      const { Stacks = [] } = await unless(ABSENT, cloudFormation.send(new DescribeStacksCommand({ StackName })));
      if (!Stacks.length) return;
      if (Stacks[0].EnableTerminationProtection) {
        throw refusal(
          `stack ${StackName} has termination protection; to lift it: aws cloudformation update-termination-protection ` +
            `--no-enable-termination-protection --region ${region} --stack-name ${StackName}`,
        );
      }
      const s3 = new (sdk('s3').S3Client)(config);
      const full = [];
      for (const LogicalResourceId of BUCKETS) {
        const request = cloudFormation.send(new DescribeStackResourceCommand({ StackName, LogicalResourceId }));
        const bucket = (await unless(ABSENT, request)).StackResourceDetail?.PhysicalResourceId;
        const held = bucket && (await contents(s3, bucket));
        if (held) full.push(`${LogicalResourceId} ${bucket} (${held})`);
      }
      if (full.length) {
        const cure = `AWS_REGION=${region} seeder empty-stack ${StackName}`;
        throw refusal(`not empty: ${full.join(', ')}; to delete all of it: ${cure}`);
      }
    };
    this.hooks = { 'before:remove:remove': check };
  }
};
