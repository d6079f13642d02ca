import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchAgain } from "../src/retry.js";

/**
 * The requests and waits of `fetchAgain` while the server gives those answers, of which the last repeats: a status, or
 * `null` for a lost connection.
 * @param {(number | null)[]} answers
 */
async function tried(...answers) {
  const signal = new AbortController().signal;
  let requests = 0;
  /** @type {number[]} */
  const waits = [];
  const real = globalThis.fetch;
  globalThis.fetch = async () => {
    const status = answers[Math.min(requests++, answers.length - 1)];
    if (status === null) throw new TypeError("Failed to fetch");
    return new Response(null, { status: status ?? 0 });
  };
  const wait = async (/** @type {number} */ milliseconds) => {
    waits.push(milliseconds);
  };
  try {
    const response = await fetchAgain("https://tiles.test/1", { signal }, wait).catch(
      (/** @type {Error} */ error) => error,
    );
    return { outcome: response instanceof Response ? response.status : response.name, requests, waits };
  } finally {
    globalThis.fetch = real;
  }
}

test("a tile of a throttled server is requested again until it comes, at most four times", async () => {
  for (const busy of [429, 503, null]) {
    assert.equal((await tried(busy, busy, 200)).outcome, 200);
    const { outcome, requests, waits } = await tried(busy);
    assert.deepEqual([outcome, requests, waits.length], [busy ?? "TypeError", 4, 3]);
    waits.forEach((each, index) => {
      assert.ok(each >= 500 * 2 ** index && each <= 1500 * 2 ** index);
    });
  }
});

test("any other answer is final", async () => {
  for (const status of [200, 400, 403, 404, 500, 502]) {
    assert.deepEqual(await tried(status), { outcome: status, requests: 1, waits: [] });
  }
});

test("a tile that the map no longer needs is not requested again", async () => {
  const real = globalThis.fetch;
  const controller = new AbortController();
  let requests = 0;
  globalThis.fetch = async () => {
    requests++;
    setTimeout(() => controller.abort(), 1);
    return new Response(null, { status: 429 });
  };
  try {
    await assert.rejects(fetchAgain("https://tiles.test/1", { signal: controller.signal }), { name: "AbortError" });
    assert.equal(requests, 1);
  } finally {
    globalThis.fetch = real;
  }
});
