'use strict';

// Before `remove`, refuses a protected stack and buckets that hold anything: CloudFormation would fail at them after it
// has deleted half of the stack.

// osls's own copy of AWS's SDK, wherever npm put it.
const sdk = (service) =>
  require(require.resolve(`@aws-sdk/client-${service}`, { paths: [require.resolve('serverless')] }));

const BUCKETS = ['TileBucket', 'SourceBucket']; // outputs

// The contents of a bucket in words, or nothing; a deleted bucket holds nothing.
const contents = async (s3, Bucket) => {
  const { ListObjectVersionsCommand, ListMultipartUploadsCommand } = sdk('s3');
  try {
    const { Versions = [], DeleteMarkers = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: 1 }));
    if (Versions.length + DeleteMarkers.length) return 'objects';
    const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 1 }));
    return Uploads.length ? 'unfinished uploads' : '';
  } catch (error) {
    return error.name === 'NoSuchBucket' ? '' : `not checked: ${error.message}`;
  }
};

module.exports = class Removal {
  constructor(serverless) {
    const provider = serverless.getProvider('aws');
    const refusal = (text) => new serverless.classes.Error(text, 'REMOVAL_REFUSED');

    const check = async () => {
      const config = await provider.getAwsSdkV3Config();
      const { CloudFormationClient, DescribeStacksCommand } = sdk('cloudformation');
      const cloudFormation = new CloudFormationClient(config);
      const [StackName, region] = [provider.naming.getStackName(), provider.getRegion()];
      const request = cloudFormation.send(new DescribeStacksCommand({ StackName }));
      const { Stacks, name, message } = await request.catch((error) => error);
      if (name === 'ValidationError') return; // no such stack: osls prints it
      if (!Stacks) throw refusal(`cannot read stack ${StackName}: ${message}`);
      const [stack] = Stacks;
      if (stack.EnableTerminationProtection) {
        throw refusal(
          `stack ${StackName} has termination protection; to lift it: aws cloudformation update-termination-protection ` +
            `--no-enable-termination-protection --region ${region} --stack-name ${StackName}`,
        );
      }
      const s3 = new (sdk('s3').S3Client)(config);
      const full = [];
      for (const { OutputKey, OutputValue } of stack.Outputs ?? []) {
        const held = BUCKETS.includes(OutputKey) && (await contents(s3, OutputValue));
        if (held) full.push(`${OutputKey} ${OutputValue} (${held})`);
      }
      if (full.length) {
        const cure = `AWS_REGION=${region} seeder empty-stack ${StackName}`;
        throw refusal(`not empty: ${full.join(', ')}; to delete all of it: ${cure}`);
      }
    };
    this.hooks = { 'before:remove:remove': check };
  }
};
