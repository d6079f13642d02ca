'use strict';

const { described } = require('./stack');

// Earlier versions deployed to us-east-1 if no region was given, also with a profile that has one. Before `deploy` and
// `remove` in the profile's region, refuses a stage that is deployed in us-east-1 only. Without permission to look, it
// goes on.

const EARLIER = 'us-east-1';
const CURES = {
  deploy: (region) => `add --region ${EARLIER} to update it, or --region ${region} for a new stack`,
  remove: () => `add --region ${EARLIER} to remove it`,
};

module.exports = class Elsewhere {
  constructor(serverless, options) {
    const check = async () => {
      const cure = CURES[serverless.processedInput.commands.join(' ')];
      if (!cure || options.region || process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION) return;
      const provider = serverless.getProvider('aws');
      const [name, region] = [provider.naming.getStackName(), provider.getRegion()];
      if (region === EARLIER) return;
      const found = async (config) => described(config, name).catch(() => undefined);
      const config = await provider.getAwsSdkV3Config();
      if ((await found(config)) !== null || !(await found({ ...config, region: EARLIER }))) return;
      const text = `stack ${name} is in ${EARLIER}, not in ${region}, the region of your profile: ${cure(region)}`;
      throw new serverless.classes.Error(text, 'STACK_ELSEWHERE');
    };
    this.hooks = { initialize: check };
  }
};
