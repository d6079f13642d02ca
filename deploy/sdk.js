'use strict';

// osls's own copy of a client of AWS's SDK, wherever npm put it.
module.exports = (service) =>
  require(require.resolve(`@aws-sdk/client-${service}`, { paths: [require.resolve('serverless')] }));
