'use strict';

const sdk = require('./sdk');

// Only `deploy` reads the stack and the account: packaging needs no network.
const deploys = () => process.argv.includes('deploy');

const nameOf = async (resolveVariable) =>
  `${await resolveVariable('self:service')}-${await resolveVariable('self:provider.stage')}`;

// An output of the deployed stack, or null.
const output = async (resolveVariable, name) =>
  deploys() ? resolveVariable(`cf:${await nameOf(resolveVariable)}.${name}, null`) : null;

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

module.exports = { deploys, nameOf, output, described };
