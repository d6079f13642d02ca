'use strict';

const bakePermissions = require('./bake-permissions');
const concurrency = require('./concurrency');
const dashboard = require('./dashboard');
const delivery = require('./delivery');
const givenParams = require('./given');
const stack = require('./stack');

// Checks the params of serverless.yml, converts text of the command line to numbers, and derives further values.
// serverless.yml and deploy/*.yml read them as ${self:custom.NAME}.

const VISIBILITY = 6; // times the worker's timeout: AWS recommends this, so that no message is redelivered during work

const whole = (low, high) => ({
  says: `a whole number from ${low} to ${high}`,
  read: (text) => (/^\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : undefined),
});

const oneOf = (...choices) => ({
  says: `one of ${choices.join(', ')}`,
  read: (text) => choices.find((choice) => String(choice) === text),
});

const like = (pattern, says) => ({
  says,
  read: (text) => (pattern.test(text) ? text : undefined),
});

const either = (word, rule) => ({
  says: `${word} or ${rule.says}`,
  read: (text) => (text === word ? word : rule.read(text)),
});

const listOf = (pattern, says) => ({
  says,
  read: (text) => {
    const entries = text.split(',').map((entry) => entry.trim());
    return entries.every((entry) => pattern.test(entry)) ? entries.join(',') : undefined;
  },
});

const optional = (rule) => ({ ...rule, optional: true });

const DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, 3653];
const TOPIC = /^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+$/;
const BUCKET = /^(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const SCENES = /^(arn:aws[a-z-]*:s3:::)?(\*|(?!.*\.\.)[a-z0-9*][a-z0-9.*-]{1,61}[a-z0-9*])$/;
const DISTRIBUTION = /^E[A-Z0-9]{9,19}$/;
const HOST = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}$/;
const CERTIFICATE = /^arn:aws:acm:us-east-1:\d{12}:certificate\/[\w-]+$/;
const WEB_ACL = /^arn:aws:wafv2:us-east-1:\d{12}:global\/webacl\/[\w-]+\/[\w-]+$/;
const VARIANT = /^(layer|all|png|jpg|webp)(@2x)?$/;
const FORMATS = { layer: 'layer,layer@2x', all: 'all,all@2x' }; // the variants of the param of earlier versions
const EMAIL = /^[^@\s]{1,39}@[^@\s.]+(\.[^@\s.]+)+$/;
const BOUNDARY = /^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/[\w+=,.@/-]+$/;
const TAG = /^((?!aws:)[\w.:/+@ -]{1,128})=([\w.:/=+@ -]{0,256})$/i;
const ADDRESS = /^https?:\/\/[^\s/?#]+(\/[^\s/?#]+)*$/;

// Tags by key, from `team=maps,cost=42`.
const tags = {
  says: 'tags such as team=maps,cost=42, of letters, digits, spaces and . : / + @ _ -, no key twice, none with aws:',
  read: (text) => {
    const pairs = text.split(',').map((tag) => TAG.exec(tag)?.slice(1));
    if (!pairs.every(Boolean)) return undefined;
    const known = Object.fromEntries(pairs);
    return Object.keys(known).length === pairs.length ? known : undefined;
  },
};

const RULES = {
  arch: oneOf('arm64', 'x86_64'),
  httpMemory: whole(128, 10240),
  httpTimeout: whole(1, 29),
  httpReserved: optional(either('none', whole(1, 1000))),
  httpRate: optional(whole(1, 10000)), // the limits of an account
  httpBurst: optional(whole(1, 5000)),
  workerMemory: whole(128, 10240),
  workerTimeout: whole(60, 900), // requests to S3 are retried for 40 s before the message is returned
  batchSize: whole(1, 10), // more would need a batching window, which delays every message
  maximumConcurrency: whole(2, 1000),
  bakeMemory: whole(128, 10240),
  bakeStorage: whole(512, 10240),
  bakeConcurrency: whole(2, 1000),
  sceneBuckets: optional(listOf(SCENES, 'a list of bucket names or ARNs such as flights,survey-*, or * for all buckets')),
  logLevel: oneOf('DEBUG', 'INFO', 'WARN', 'ERROR'),
  logRetention: oneOf(...DAYS),
  queueAge: whole(60, 1209600),
  httpCalls: whole(1, 100000000),
  dashboard: oneOf(true, false),
  cacheMetrics: oneOf(true, false),
  alarmTopic: optional(like(TOPIC, 'the ARN of an SNS topic')),
  variants: optional(listOf(VARIANT, 'a list of layer, all, png, jpg, webp, each also with @2x')),
  formats: optional(oneOf('layer', 'all')),
  tileBucket: optional(like(BUCKET, 'a bucket name: 3 to 63 of a-z, 0-9, dots and hyphens')),
  url: optional(like(ADDRESS, 'a URL such as https://tiles.example.com, without a slash at the end')),
  delivery: optional(oneOf('cloudfront', 'website')),
  domain: optional(like(HOST, 'a host name such as tiles.example.com')),
  certificate: optional(like(CERTIFICATE, 'the ARN of an ACM certificate in us-east-1, as CloudFront requires')),
  webAcl: optional(like(WEB_ACL, 'the ARN of a WAF web ACL for CloudFront, in us-east-1')),
  budget: optional(whole(1, 1000000)),
  budgetEmail: optional(like(EMAIL, 'an email address')),
  permissionsBoundary: optional(like(BOUNDARY, 'the ARN of a managed policy')),
  tags: optional(tags),
  cloudFront: optional(like(DISTRIBUTION, 'the id of a CloudFront distribution, such as E1A2B3C4D5E6F7')),
  terminationProtection: optional(oneOf(true, false)),
};

// An error shown without its stack.
const wrong = (text) => Object.assign(new Error(text), { stack: text });

const refuseUnknown = (given) => {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(RULES, name)) throw wrong(`unknown param ${name}: choose from ${Object.keys(RULES).join(', ')}`);
  }
};

// The value of a text; undefined if it is invalid.
const read = (name, value) => RULES[name].read(String(value));

const checked = (name, value) => {
  if (value === null && RULES[name].optional) return null;
  const known = read(name, value);
  if (known === undefined) throw wrong(`param ${name} must be ${RULES[name].says}, not "${value}"`);
  return known;
};

// The conflict between the params of the budget, or null.
const budgetConflict = ({ budget, budgetEmail }, region) => {
  if (budget && !budgetEmail) return 'param budget needs budgetEmail, the address to warn';
  if (budgetEmail && !budget) return 'param budgetEmail needs budget, in dollars a month';
  if (budget && delivery.OTHER_PARTITIONS.test(region)) return `param budget is not supported in ${region}: omit it`;
  return null;
};

module.exports = async ({ options, resolveVariable }) => {
  const given = givenParams.parsed(options.param ?? []);
  refuseUnknown(given);
  const stage = await resolveVariable('self:provider.stage');
  const params = {};
  for (const name of Object.keys(RULES)) {
    params[name] = checked(name, await resolveVariable(givenParams.variable(name, given, stage)));
  }
  params.delivery ??= await delivery.chosen(resolveVariable);
  const known = await stack.output(resolveVariable, 'GivenParams');
  const region = await resolveVariable('self:provider.region');
  const conflict =
    givenParams.missing(known, given, params, read) ?? delivery.conflict(params, region) ?? budgetConflict(params, region);
  if (conflict) throw wrong(conflict);
  if (params.variants && params.formats) throw wrong('params variants and formats choose the same: use variants alone');
  const reserved = await concurrency.reserved(params, resolveVariable);
  if (reserved.fault) throw wrong(reserved.fault);
  params.httpReserved = reserved.httpReserved;
  const delivered = delivery[params.delivery](params);
  return {
    ...params,
    notes: reserved.notes ?? [],
    budgetFile: params.budget ? 'budget.yml' : 'no-budget.yml',
    variants: params.variants ?? FORMATS[params.formats ?? 'layer'],
    givenParams: givenParams.output(given),
    visibility: VISIBILITY * params.workerTimeout,
    monitoring: dashboard(params, region),
    alarmActions: params.alarmTopic ? [params.alarmTopic] : [],
    ...delivered,
    bakePermissions: bakePermissions({ ...params, ...delivered }),
  };
};
