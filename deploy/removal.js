'use strict';

const sdk = require('./sdk');
const { described } = require('./stack');

// Before `remove`, refuses a protected stack and buckets that hold anything: CloudFormation would fail at them after it
// has deleted half of the stack.

const BUCKETS = ['TileBucket', 'SourceBucket']; // outputs
const ACTIONS = ['s3:ListBucketVersions', 's3:ListBucketMultipartUploads']; // of the two requests below

// The contents of a bucket in words, or nothing; a deleted bucket holds nothing.
const contents = async (s3, Bucket) => {
  const { ListObjectVersionsCommand, ListMultipartUploadsCommand } = sdk('s3');
  try {
    const { Versions = [], DeleteMarkers = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: 1 }));
    if (Versions.length + DeleteMarkers.length) return 'objects';
    const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 1 }));
    return Uploads.length ? 'unfinished uploads' : '';
  } catch (error) {
    if (error.name === 'NoSuchBucket') return '';
    throw error;
  }
};

module.exports = class Removal {
  constructor(serverless) {
    const provider = serverless.getProvider('aws');
    const refusal = (text) => new serverless.classes.Error(text, 'REMOVAL_REFUSED');

    const check = async () => {
      const config = await provider.getAwsSdkV3Config();
      const [name, region] = [provider.naming.getStackName(), provider.getRegion()];
      const stack = await described(config, name).catch((error) => {
        throw refusal(`cannot read stack ${name}: ${error.message}`);
      });
      if (!stack) return; // osls prints it
      if (stack.EnableTerminationProtection) {
        throw refusal(
          `stack ${name} has termination protection; to lift it: aws cloudformation update-termination-protection ` +
            `--no-enable-termination-protection --region ${region} --stack-name ${name}`,
        );
      }
      const s3 = new (sdk('s3').S3Client)(config);
      const full = [];
      for (const { OutputKey, OutputValue } of stack.Outputs ?? []) {
        if (!BUCKETS.includes(OutputKey)) continue;
        const held = await contents(s3, OutputValue).catch((error) => {
          const cure = error.name === 'AccessDenied' ? `: allow ${ACTIONS.join(' and ')} on it` : '';
          throw refusal(`cannot check that ${OutputKey} ${OutputValue} is empty (${error.message})${cure}`);
        });
        if (held) full.push(`${OutputKey} ${OutputValue} (${held})`);
      }
      if (full.length) {
        const cure = `AWS_REGION=${region} seeder empty-stack ${name}`;
        throw refusal(`not empty: ${full.join(', ')}; to delete all of it: ${cure}`);
      }
    };
    this.hooks = { 'before:remove:remove': check };
  }
};
