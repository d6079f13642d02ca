'use strict';

const sdk = require('./sdk');
const stack = require('./stack');

// Reserved concurrency of the HTTP function with `cloudfront`, on by default: a function URL has no throttle of its own.
// It is also a plugin, because only plugins have the credentials of the framework.

const DEFAULT = 50; // a map requests up to 30 tiles at once
const UNRESERVED = 100; // Lambda keeps these for the other functions of the account

// The param httpReserved, or the default if the account's limit allows it; with a fault to refuse or a note to print.
const reserved = async ({ httpReserved, delivery }, resolveVariable) => {
  if (httpReserved === 'none') return { httpReserved: null };
  if (httpReserved !== null || delivery === 'website') return { httpReserved };
  if (!stack.deploys()) return { httpReserved: DEFAULT };
  const name = await stack.nameOf(resolveVariable);
  const { limit, unreserved, held, fault } = await resolveVariable(`concurrency:${name}-http`);
  if (fault) {
    const actions = 'lambda:GetAccountSettings and lambda:GetFunctionConcurrency';
    const cure = `allow ${actions}, or pass --param httpReserved=${DEFAULT} (or none)`;
    return { fault: `cannot read Lambda's concurrency limits of the account (${fault}): ${cure}` };
  }
  const room = unreserved + held - UNRESERVED;
  if (room >= DEFAULT) return { httpReserved: DEFAULT };
  const left = room > 0 ? `only ${room}: pass --param httpReserved=${room}, or` : 'none:';
  const cure = 'request a higher quota (Service Quotas, Lambda, Concurrent executions) and deploy again';
  const note = `no concurrency reserved, because the account's limit of ${limit} leaves ${left} ${cure}`;
  return { httpReserved: null, note };
};

// Limit and unreserved concurrency of the account, and the reservation that a function holds already.
const read = async (client, name) => {
  const { GetAccountSettingsCommand, GetFunctionConcurrencyCommand } = sdk('lambda');
  try {
    const { AccountLimit } = await client.send(new GetAccountSettingsCommand({}));
    const own = await client.send(new GetFunctionConcurrencyCommand({ FunctionName: name })).catch((error) => {
      if (error.name === 'ResourceNotFoundException') return {}; // a new stage
      throw error;
    });
    return {
      limit: AccountLimit.ConcurrentExecutions,
      unreserved: AccountLimit.UnreservedConcurrentExecutions,
      held: own.ReservedConcurrentExecutions ?? 0,
    };
  } catch (error) {
    return { fault: `${error.name}: ${error.message.split('\n')[0]}` };
  }
};

class Concurrency {
  constructor(serverless, _options, { log }) {
    this.configurationVariablesSources = {
      concurrency: {
        async resolve({ address }) {
          const { LambdaClient } = sdk('lambda');
          const client = new LambdaClient(await serverless.getProvider('aws').getAwsSdkV3Config());
          return { value: await read(client, address) };
        },
      },
    };
    this.hooks = {
      'before:package:initialize'() {
        const { note } = serverless.service.custom;
        if (note) log.warning(note);
      },
    };
  }
}

module.exports = Object.assign(Concurrency, { reserved });
