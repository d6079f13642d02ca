'use strict';

const prices = require('./prices.json'); // of seeder/jobs/prices.py, written by bench/cost.py

// The CloudWatch dashboard of a stage, and its output. CloudFront reports to us-east-1 only; a widget shows metrics of
// another region, but no expression mixes regions, so CloudFront's cost has widgets of its own.

const GLOBAL = 'us-east-1';
const [MINUTE, HOUR] = [60, 3600];
const HTTP = ['FunctionName', '${HttpLambdaFunction}'];
const WORKER = ['FunctionName', '${WorkerLambdaFunction}'];
const BAKE = ['FunctionName', '${BakeLambdaFunction}'];
const API = ['ApiId', '${HttpApi}'];
const DISTRIBUTION = ['DistributionId', '${Distribution}', 'Region', 'Global'];
const QUEUE = ['QueueName', '${Queue.QueueName}'];
const DEAD_LETTERS = ['QueueName', '${DeadLetterQueue.QueueName}'];
const BAKES = ['QueueName', '${BakeQueue.QueueName}'];
const BAKE_DEAD_LETTERS = ['QueueName', '${BakeDeadLetters.QueueName}'];
const FREE_STORAGE = 512; // MB
const BAKE_PUTS = 70; // requests of a part of 0.5 GB at most: 64 of 8 MB, its facts, its receipt
const CONSOLES = { cn: 'console.amazonaws.cn', 'us-gov': 'console.amazonaws-us-gov.com' }; // of other partitions
const WITHOUT_CONSOLE = /^(us-iso|eu-isoe|eusc)/; // without a known address
const ERRORS = ['DeadLetter', 'QueueAge', 'HttpErrors', 'WorkerErrors', 'NotStored'];
const OF_BAKES = ['BakeDeadLetter', 'BakeQueueAge', 'BakeErrors', 'BakeThrottles'];
const ALARMS = [...ERRORS, 'HttpThrottles', 'WorkerThrottles', 'HttpCalls', ...OF_BAKES];

const metric = (namespace, name, dimensions, label, options) => [namespace, name, ...dimensions, { label, ...options }];
const lambda = (name, dimensions, label, options) => metric('AWS/Lambda', name, dimensions, label, options);
const seeded = (name, label, options) => metric('TileSeeder', name, WORKER, label, options); // of lambda_handler.py
const edge = (name, label, options) => metric('AWS/CloudFront', name, DISTRIBUTION, label, options);

const graph = (title, metrics, { stat = 'Sum', period = MINUTE, unit = '', ...options } = {}) => ({
  type: 'metric',
  properties: {
    title,
    region: '${AWS::Region}',
    view: 'timeSeries',
    stat,
    period,
    yAxis: { left: { min: 0, label: unit, showUnits: false } },
    metrics,
    ...options,
  },
});

const dollars = (title, metrics, options) => [
  graph(`${title}, dollars per hour`, metrics, { period: HOUR, stacked: true, ...options }),
  graph(`${title}, dollars in the time shown`, metrics, {
    view: 'singleValue',
    setPeriodToTimeRange: true,
    ...options,
  }),
];

// The lines of an estimate. `lines` are [label, expression], `metrics` the hidden metrics of the expressions by id. A
// metric without data counts as 0.
const estimate = (lines, metrics) => [
  ...lines.map(([label, expression], index) => [
    { label, id: `line${index}`, expression: expression.replace(/\$(\w+)/g, 'FILL($1, 0)') },
  ]),
  ...Object.entries(metrics).map(([id, named]) => [...named.slice(0, -1), { id, visible: false, stat: 'Sum' }]),
];

const costOfStack = (params, delivery) => {
  const second = params.arch === 'arm64' ? prices.lambda_gb_second : prices.lambda_gb_second_x86; // of a gigabyte
  // Storage counts as the memory of the same price: alone, its price would be written with an exponent.
  const storage = ((params.bakeStorage - FREE_STORAGE) * prices.lambda_storage_gb_second) / second; // MB
  const sizes = { http: params.httpMemory, worker: params.workerMemory, bake: params.bakeMemory + storage };
  const gigabytes = Object.entries(sizes).map(([name, size]) => `$${name}Ms * ${size / 1024}`).join(' + ');
  const requests = `($calls + $batches + $bakes) * ${prices.lambda_million_requests} / 1000000`;
  return estimate(
    [
      ['Lambda', `(${gigabytes}) / 1000 * ${second} + ${requests}`],
      // a receipt per block
      ['S3, PUTs at most', `($calls + $tiles + $blocks + $bakes * ${BAKE_PUTS}) * ${prices.s3_million_puts} / 1000000`],
      ['logs', `($httpLog + $workerLog + $bakeLog) * ${prices.logs_gb} / 1000000000`],
      ...delivery.cost,
    ],
    {
      httpMs: lambda('Duration', HTTP),
      workerMs: lambda('Duration', WORKER),
      bakeMs: lambda('Duration', BAKE),
      calls: lambda('Invocations', HTTP),
      batches: lambda('Invocations', WORKER),
      bakes: lambda('Invocations', BAKE),
      tiles: seeded('Tiles'),
      blocks: seeded('Blocks'),
      httpLog: metric('AWS/Logs', 'IncomingBytes', ['LogGroupName', '${HttpLogGroup}']),
      workerLog: metric('AWS/Logs', 'IncomingBytes', ['LogGroupName', '${WorkerLogGroup}']),
      bakeLog: metric('AWS/Logs', 'IncomingBytes', ['LogGroupName', '${BakeLogGroup}']),
      ...delivery.priced,
    },
  );
};

const website = () => ({
  alarms: ['ApiErrors', 'ApiThrottles'],
  requests: [
    metric('AWS/ApiGateway', 'Count', API, 'requests for missing tiles'),
    metric('AWS/ApiGateway', '4xx', API, '4xx, also throttled'),
    metric('AWS/ApiGateway', '5xx', API, '5xx'),
  ],
  latency: metric('AWS/ApiGateway', 'Latency', API, 'answer of the API, p95', { stat: 'p95' }),
  cost: [['API', `$requests * ${prices.api_million_requests} / 1000000`]],
  priced: { requests: metric('AWS/ApiGateway', 'Count', API) },
  widgets: [],
});

const cloudfront = (params) => {
  const perRequest = prices.cloudfront_million_requests + prices.cloudfront_million_functions;
  const rates = [
    edge('4xxErrorRate', '4xx'),
    edge('5xxErrorRate', '5xx'),
    ...(params.cacheMetrics ? [edge('CacheHitRate', 'cache hits')] : []),
  ];
  const cost = estimate(
    [
      ['requests', `$requests * ${perRequest} / 1000000`],
      ['transfer', `$bytes * ${prices.cloudfront_gb} / 1000000000`],
    ],
    { requests: edge('Requests'), bytes: edge('BytesDownloaded') },
  );
  return {
    alarms: ['UrlErrors'],
    requests: [
      edge('Requests', 'all requests', { region: GLOBAL }),
      lambda('UrlRequestCount', HTTP, 'requests for missing tiles'),
      lambda('Url4xxCount', HTTP, '4xx, also throttled'),
      lambda('Url5xxCount', HTTP, '5xx'),
    ],
    latency: lambda('UrlRequestLatency', HTTP, 'answer of the URL, p95', { stat: 'p95' }),
    cost: [],
    priced: {},
    widgets: [
      graph('CloudFront, share of requests', rates, { stat: 'Average', region: GLOBAL, unit: 'percent' }),
      ...dollars('CloudFront', cost, { region: GLOBAL }),
    ],
  };
};

const widgets = (params) => {
  const delivery = { website, cloudfront }[params.delivery](params);
  const alarms = [...ALARMS, ...delivery.alarms].map((name) => `\${${name}Alarm.Arn}`);
  return [
    graph('Tiles per minute', [
      seeded('Tiles', 'seeded'),
      seeded('Empty', 'empty'),
      seeded('Failed', 'failed'),
      lambda('Invocations', HTTP, 'rendered on request, at most'),
      metric('TileSeeder/${AWS::StackName}', 'NotStored', [], 'not stored'), // of alarms.yml
    ]),
    graph('Requests per minute', delivery.requests),
    graph('Milliseconds of a requested tile', [
      lambda('Duration', HTTP, 'function, p50', { stat: 'p50' }),
      lambda('Duration', HTTP, 'function, p95', { stat: 'p95' }),
      delivery.latency,
    ]),
    graph('Milliseconds of a seeded block', [
      seeded('Milliseconds', 'p50', { stat: 'p50' }),
      seeded('Milliseconds', 'p95', { stat: 'p95' }),
    ]),
    graph('Messages', [
      metric('AWS/SQS', 'ApproximateNumberOfMessagesVisible', QUEUE, 'in the queue'),
      metric('AWS/SQS', 'ApproximateNumberOfMessagesNotVisible', QUEUE, 'in progress'),
      metric('AWS/SQS', 'ApproximateNumberOfMessagesVisible', DEAD_LETTERS, 'dead letters'),
      metric('AWS/SQS', 'ApproximateNumberOfMessagesVisible', BAKES, 'in the bake queue'),
      metric('AWS/SQS', 'ApproximateNumberOfMessagesNotVisible', BAKES, 'bakes in progress'),
      metric('AWS/SQS', 'ApproximateNumberOfMessagesVisible', BAKE_DEAD_LETTERS, 'dead letters of bakes'),
    ], { stat: 'Maximum' }),
    graph('Age of the oldest message', [
      metric('AWS/SQS', 'ApproximateAgeOfOldestMessage', QUEUE, 'queue'),
      metric('AWS/SQS', 'ApproximateAgeOfOldestMessage', BAKES, 'bake queue'),
    ], { stat: 'Maximum', unit: 'seconds' }),
    graph('Faults per minute', [
      lambda('Errors', HTTP, 'http failed'),
      lambda('Errors', WORKER, 'worker failed'),
      lambda('Errors', BAKE, 'bake failed'),
      lambda('Throttles', HTTP, 'http throttled'),
      lambda('Throttles', WORKER, 'worker throttled'),
      lambda('Throttles', BAKE, 'bake throttled'),
      seeded('Returned', 'messages returned'),
    ]),
    { type: 'alarm', properties: { title: 'Alarms', alarms } },
    ...dollars('Functions, S3 and logs', costOfStack(params, delivery)),
    ...delivery.widgets,
  ];
};

const laidOut = (widget, index) => ({
  ...widget,
  ...{ x: 12 * (index % 2), y: 6 * Math.floor(index / 2), width: 12, height: 6 },
});

module.exports = (params, region) => {
  const host = CONSOLES[/^(cn|us-gov)-/.exec(region)?.[1]] ?? 'console.aws.amazon.com';
  const page = 'cloudwatch/home?region=${AWS::Region}#dashboards/dashboard/${Dashboard}';
  const address = { 'Fn::Sub': `https://\${AWS::Region}.${host}/${page}` };
  const output = { Value: WITHOUT_CONSOLE.test(region) ? { Ref: 'Dashboard' } : address };
  const resources = {};
  if (params.dashboard) {
    const body = JSON.stringify({ periodOverride: 'inherit', widgets: widgets(params).map(laidOut) });
    resources.Dashboard = {
      Type: 'AWS::CloudWatch::Dashboard',
      Properties: {
        DashboardName: { 'Fn::Sub': '${AWS::StackName}-${AWS::Region}' }, // an account's dashboards share their names
        DashboardBody: { 'Fn::Sub': body },
      },
    };
  }
  if (params.cacheMetrics) {
    resources.CacheMetrics = {
      Type: 'AWS::CloudFront::MonitoringSubscription',
      Properties: {
        DistributionId: { Ref: 'Distribution' },
        MonitoringSubscription: { RealtimeMetricsSubscriptionConfig: { RealtimeMetricsSubscriptionStatus: 'Enabled' } },
      },
    };
  }
  return { Resources: resources, Outputs: params.dashboard ? { Dashboard: output } : {} };
};
