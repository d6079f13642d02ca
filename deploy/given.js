'use strict';

// Params of the command line. serverless.yml does not keep them, so the stack does, in its output GivenParams: a deploy
// without one of them would silently revert it. `name=default` drops a param on purpose.

const DROPPED = 'default';

// Values by name, from the words of `--param`.
const parsed = (words) =>
  Object.fromEntries(words.map((word) => [word.split('=', 1)[0], word.slice(word.indexOf('=') + 1).trimEnd()]));

// The variable with a param's value; that of a dropped param is the value in serverless.yml.
const variable = (name, given, stage) =>
  given[name] === DROPPED ? `self:params.${stage}.${name}, self:params.default.${name}, null` : `param:${name}, null`;

// The output of the stack: the given params, as JSON.
const output = (given, params) => {
  const kept = Object.keys(given).filter((name) => given[name] !== DROPPED);
  return JSON.stringify(Object.fromEntries(kept.map((name) => [name, String(params[name])])));
};

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
// serverless.yml is not missing, nor is one that this version does not have.
const missing = (text, given, params) => {
  const lost = remembered(text).filter(
    ([name, value]) =>
      !Object.hasOwn(given, name) && Object.hasOwn(params, name) && String(params[name]) !== String(value),
  );
  if (!lost.length) return null;
  const words = lost.map(([name, value]) => `--param ${quoted(`${name}=${value}`)}`).join(' ');
  return (
    `params of the last deploy are missing: add ${words}, or put them into params: of serverless.yml; ` +
    `--param ${lost[0][0]}=${DROPPED} drops one`
  );
};

module.exports = { parsed, variable, output, missing };
