'use strict';

// Permissions of the bake function: it does for a layer what `ingest` and `refresh` do. It bakes parts into the private
// bucket, publishes, sends the tiles of the renewal to the tile queue, deletes tiles that are no longer covered, and
// invalidates the distribution. It cannot delete sources, nor touch the dead letters of the tile queue.

const arn = (logical, path = '') => ({ 'Fn::Sub': `\${${logical}.Arn}${path}` });
const allow = (Sid, Action, Resource) => ({ Sid, Effect: 'Allow', Action, Resource });

// The ARN of a bucket of the param sceneBuckets, which may be a name.
const bucket = (named, path = '') =>
  named.startsWith('arn:') ? named + path : { 'Fn::Sub': `arn:\${AWS::Partition}:s3:::${named}${path}` };

const ofScenes = (buckets) => [
  allow('ReadScenes', ['s3:GetObject'], buckets.map((each) => bucket(each, '/*'))),
  allow('ListScenes', ['s3:ListBucket'], buckets.map((each) => bucket(each))),
];

// `cloudFront` is the id of a distribution, or a reference to that of the stack.
const ofDistribution = (cloudFront) => {
  const id = typeof cloudFront === 'string' ? cloudFront : '${Distribution}';
  const resource = `arn:\${AWS::Partition}:cloudfront::\${AWS::AccountId}:distribution/${id}`;
  return allow('Invalidate', ['cloudfront:CreateInvalidation', 'cloudfront:GetInvalidation'], [{ 'Fn::Sub': resource }]);
};

module.exports = ({ sceneBuckets, cloudFront }) => [
  allow('ReadAndWritePrivateBucket', ['s3:GetObject', 's3:PutObject'], [arn('SourceBucket', '/*')]),
  allow('UploadParts', ['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts'], [arn('SourceBucket', '/*')]),
  allow('RepeatFailedBlocks', ['s3:DeleteObject'], [arn('SourceBucket', '/jobs/*')]), // deletes their receipts
  allow('RenewTiles', ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'], [arn('TileBucket', '/*')]),
  allow('TellMissingFromForbidden', ['s3:ListBucket'], [arn('TileBucket'), arn('SourceBucket')]),
  ...(sceneBuckets ? ofScenes(sceneBuckets.split(',')) : []),
  ...(cloudFront ? [ofDistribution(cloudFront)] : []),
  allow(
    'WorkOffTheBakeQueue',
    [
      'sqs:ReceiveMessage',
      'sqs:DeleteMessage',
      'sqs:GetQueueAttributes',
      'sqs:ChangeMessageVisibility',
      'sqs:SendMessage',
    ],
    [arn('BakeQueue')],
  ),
  allow('MoveToDeadLetters', ['sqs:GetQueueUrl', 'sqs:SendMessage'], [arn('BakeDeadLetters')]),
  allow('SendBlocksOfRenewals', ['sqs:GetQueueAttributes', 'sqs:SendMessage'], [arn('Queue')]),
  allow('WriteLogs', ['logs:CreateLogStream', 'logs:PutLogEvents'], [arn('BakeLogGroup')]),
];
