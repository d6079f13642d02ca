'use strict';

const sdk = require('./sdk');

// An output of the deployed stack, or null. Only `deploy` reads the stack: packaging needs no network.
const output = async (resolveVariable, name) => {
  if (!process.argv.includes('deploy')) return null;
  const stack = `${await resolveVariable('self:service')}-${await resolveVariable('self:provider.stage')}`;
  return resolveVariable(`cf:${stack}.${name}, null`);
};

// The description of a stack by CloudFormation, or null if there is none; `config` is that of the client.
const described = async (config, StackName) => {
  const { CloudFormationClient, DescribeStacksCommand } = sdk('cloudformation');
  try {
    const { Stacks } = await new CloudFormationClient(config).send(new DescribeStacksCommand({ StackName }));
    return Stacks[0];
  } catch (error) {
    if (error.name === 'ValidationError') return null;
    throw error;
  }
};

module.exports = { output, described };
