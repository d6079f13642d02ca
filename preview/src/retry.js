/** Requests a tile again after a throttled or interrupted request. */

const BUSY = [429, 503]; // statuses of API Gateway, Lambda and S3 at their limits
const WAITS = [1000, 2000, 4000]; // mean milliseconds before each further request

/** @typedef {(milliseconds: number, signal: AbortSignal) => Promise<void>} Wait */

/**
 * The response to a request; while the server is busy, of one of a few later requests. A throttled API may answer
 * without CORS headers, which a page cannot distinguish from a lost connection: so that is requested again too.
 * @param {string} url @param {RequestInit & {signal: AbortSignal}} options @param {Wait} [wait]
 */
export async function fetchAgain(url, options, wait = pause) {
  for (const milliseconds of WAITS) {
    const response = await fetch(url, options).catch(() => null);
    options.signal.throwIfAborted();
    if (response && !BUSY.includes(response.status)) return response;
    await wait(milliseconds * (0.5 + Math.random()), options.signal); // spread, because a map's tiles fail together
  }
  return fetch(url, options);
}

/** @type {Wait} */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
