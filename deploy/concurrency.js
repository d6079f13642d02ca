'use strict';

const sdk = require('./sdk');
const stack = require('./stack');

// Reserved concurrency of the HTTP function with `cloudfront`, on by default: a function URL has no throttle of its own.
// Workers and bakes share the unreserved rest with all other functions of the account. It is also a plugin, because only plugins have the credentials of the framework.

const DEFAULT = 50; // a map requests up to 30 tiles at once
const HIGHER = 'request a higher quota (Service Quotas, Lambda, Concurrent executions) and deploy again';
const UNRESERVED = 100; // Lambda keeps these for the other functions of the account

// A note if the concurrency that is left is less than the maxima of both queues, or nothing.
const shortage = ({ maximumConcurrency, bakeConcurrency }, left) =>
  left < maximumConcurrency + bakeConcurrency
    ? [
        `maximumConcurrency=${maximumConcurrency} and bakeConcurrency=${bakeConcurrency} exceed the ${left} functions ` +
          `that may run at once beside the HTTP function: lower them, or ${HIGHER}`,
      ]
    : [];

// The param httpReserved, or the default if the account's limit allows it; with a fault to refuse or notes to print.
const reserved = async (params, resolveVariable) => {
  const { httpReserved, delivery } = params;
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
  const notes = shortage(params, unreserved + held - (room >= DEFAULT ? DEFAULT : 0));
  if (room >= DEFAULT) return { httpReserved: DEFAULT, notes };
  const left = room > 0 ? `only ${room}: pass --param httpReserved=${room}, or` : 'none:';
  notes.unshift(`no concurrency reserved, because the account's limit of ${limit} leaves ${left} ${HIGHER}`);
  return { httpReserved: null, notes };
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
        for (const note of serverless.service.custom.notes) log.warning(note);
      },
    };
  }
}

module.exports = Object.assign(Concurrency, { reserved });
