'use strict';

const { isDeepStrictEqual } = require('node:util');

// Params of the command line. serverless.yml does not keep them, so the stack does, in its output GivenParams: a deploy
// without one of them would silently revert it. `name=default` drops a param on purpose.

const DROPPED = 'default';

// Values by name, from the words of `--param`; osls refuses words without `=`.
const parsed = (words) =>
  Object.fromEntries(
    words
      .map((word) => [word, word.indexOf('=')])
      .filter(([, at]) => at > 0)
      .map(([word, at]) => [word.slice(0, at), word.slice(at + 1).trimEnd()]),
  );

// The variable with a param's value; that of a dropped param is the value in serverless.yml.
const variable = (name, given, stage) =>
  given[name] === DROPPED ? `self:params.${stage}.${name}, self:params.default.${name}, null` : `param:${name}, null`;

// The output of the stack: the given params, as JSON.
const output = (given) =>
  JSON.stringify(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== DROPPED)));

// A word as a shell reads it.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

const remembered = (text) => {
  try {
    return Object.entries(JSON.parse(text) ?? {});
  } catch {
    return []; // not written by this file
  }
};

// The complaint about params of the last deploy that are missing now, or null. A param with the same value from
// serverless.yml is not missing, nor is one that this version does not have. `read` gives the value of a text; one that
// it cannot read, such as tags of an earlier version, is shown as VALUE.
const missing = (text, given, params, read) => {
  const lost = remembered(text)
    .filter(([name]) => !Object.hasOwn(given, name) && Object.hasOwn(params, name))
    .map(([name, value]) => [name, value, read(name, value)])
    .filter(([name, , known]) => !isDeepStrictEqual(params[name], known));
  if (!lost.length) return null;
  const words = lost
    .map(([name, value, known]) => `--param ${quoted(`${name}=${known === undefined ? 'VALUE' : value}`)}`)
    .join(' ');
  return (
    `params of the last deploy are missing: add ${words}, or put them into params: of serverless.yml; ` +
    `--param ${lost[0][0]}=${DROPPED} drops one`
  );
};

module.exports = { parsed, variable, output, missing };
