'use strict';

const { NODE_REGION_CONFIG_FILE_OPTIONS, NODE_REGION_CONFIG_OPTIONS, loadConfig } = require('@smithy/core/config');

// The region of the AWS profile, read as the framework's own SDK does; null if it has none.
module.exports = async ({ options }) => {
  const profile = options['aws-profile'] ?? process.env.AWS_PROFILE ?? process.env.AWS_DEFAULT_PROFILE;
  return loadConfig(NODE_REGION_CONFIG_OPTIONS, { ...NODE_REGION_CONFIG_FILE_OPTIONS, profile })().catch(() => null);
};
