'use strict';

const stack = require('./stack');

// The delivery of tiles: `cloudfront` (HTTPS, a private bucket, cloudfront.yml) or `website` (HTTP only, a public bucket
// with redirects to the API, website.yml). params.js chooses one and adds its values.

const OF_CLOUDFRONT = ['domain', 'certificate', 'webAcl', 'cacheMetrics'];
const OF_WEBSITE = ['httpRate', 'httpBurst'];
const RATE = { httpRate: 100, httpBurst: 300 }; // requests per second and at once; a map requests up to 30 tiles at once
const OTHER_PARTITIONS = /^(cn|us-gov|us-iso[a-z]*|eu-isoe|eusc)-/; // their regions have no CloudFront

// The delivery of a stage without the param. A deployed stage keeps its delivery, because maps use its address; a stack
// of an earlier version has no output `Delivery`.
const chosen = async (resolveVariable) => {
  const preferred = OTHER_PARTITIONS.test(await resolveVariable('self:provider.region')) ? 'website' : 'cloudfront';
  const output = (name) => stack.output(resolveVariable, name);
  return (await output('Delivery')) ?? ((await output('TileBucket')) ? 'website' : preferred);
};

// The conflict between valid params, or with the region, or null.
const conflict = (params, region) => {
  if (params.delivery === 'website') {
    const unusable = OF_CLOUDFRONT.filter((name) => params[name]);
    return unusable.length ? `param ${unusable[0]} needs delivery=cloudfront` : null;
  }
  if (OTHER_PARTITIONS.test(region)) return `delivery=cloudfront is not available in ${region}: use delivery=website`;
  const throttle = OF_WEBSITE.find((name) => params[name]);
  if (throttle) return `param ${throttle} needs delivery=website: use httpReserved or webAcl`;
  if (params.cloudFront) return 'param cloudFront is for delivery=website: omit it, the stack has its own distribution';
  if (params.domain && !params.certificate) return `param domain needs a certificate for ${params.domain}`;
  if (params.certificate && !params.domain) return 'param certificate needs domain, one of its host names';
  if (params.domain && params.url) return 'params domain and url are both addresses of the tiles: use one of them';
  return null;
};

// The base URL of stored tiles over HTTPS. Amazon's certificate does not cover bucket names with dots as a host, so they
// are put into the path.
const bucketUrl = (bucket) => ({
  'Fn::Sub': bucket?.includes('.')
    ? 'https://s3.${AWS::Region}.${AWS::URLSuffix}/${TileBucket}'
    : 'https://${TileBucket.RegionalDomainName}',
});

// The params that limit requests for missing tiles, for the output HttpLimit.
const limits = (...named) => {
  const set = named.filter(([, value]) => value).map(([name, value]) => (value === true ? name : `${name}=${value}`));
  return set.join(', ') || 'none';
};

const website = (params) => {
  const httpRate = params.httpRate ?? RATE.httpRate;
  const httpBurst = params.httpBurst ?? RATE.httpBurst;
  const websiteUrl = params.url ?? { 'Fn::GetAtt': ['TileBucket', 'WebsiteURL'] };
  const tileUrl = bucketUrl(params.tileBucket);
  return {
    websiteUrl,
    tileUrl,
    functionUrl: websiteUrl,
    directUrl: tileUrl,
    httpDescription: 'Renders and stores a missing tile, then redirects to it',
    httpEvents: [{ httpApi: '*' }],
    httpRate,
    httpBurst,
    httpLimit: limits(['httpRate', httpRate], ['httpBurst', httpBurst], ['httpReserved', params.httpReserved]),
    apiMinute: 60 * httpRate + httpBurst,
  };
};

const cloudfront = (params) => {
  const own = params.url ?? (params.domain && `https://${params.domain}`);
  const distribution = { 'Fn::Sub': 'https://${Distribution.DomainName}' };
  return {
    websiteUrl: own ?? distribution,
    tileUrl: own ?? distribution,
    functionUrl: own ?? null, // the distribution depends on the function, which therefore cannot have its address
    directUrl: null,
    functionDelivery: 'cloudfront',
    httpDescription: 'Renders and stores a missing tile, then returns it',
    httpLimit: limits(['httpReserved', params.httpReserved], ['webAcl', Boolean(params.webAcl)]),
    httpEvents: [], // an API would bypass the distribution
    cloudFront: { Ref: 'Distribution' },
    aliases: params.domain ? [params.domain] : [],
    viewerCertificate: params.domain
      ? { AcmCertificateArn: params.certificate, SslSupportMethod: 'sni-only', MinimumProtocolVersion: 'TLSv1.2_2021' }
      : { CloudFrontDefaultCertificate: true },
  };
};

module.exports = { chosen, conflict, website, cloudfront, OTHER_PARTITIONS };
