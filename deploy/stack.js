'use strict';

// An output of the deployed stack, or null. Only `deploy` reads the stack: packaging needs no network.
const output = async (resolveVariable, name) => {
  if (!process.argv.includes('deploy')) return null;
  const stack = `${await resolveVariable('self:service')}-${await resolveVariable('self:provider.stage')}`;
  return resolveVariable(`cf:${stack}.${name}, null`);
};

module.exports = { output };
