'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const readline = require('node:readline');

// Before packaging, builds the zip of the architecture to deploy, and no other.
module.exports = class Build {
  constructor(serverless, _options, { log }) {
    const build = async () => {
      const { arch } = serverless.service.custom;
      const script = spawn('scripts/package-lambda', [arch], { cwd: serverless.serviceDir });
      for (const stream of [script.stdout, script.stderr]) {
        readline.createInterface(stream).on('line', (line) => log.notice(line));
      }
      const [code] = await once(script, 'close');
      if (code !== 0) throw new serverless.classes.Error(`cannot build the package for ${arch}: see above`, 'PACKAGE_FAILED');
    };
    this.hooks = {
      'before:package:createDeploymentArtifacts': build,
      'before:package:function:package': build,
    };
  }
};
