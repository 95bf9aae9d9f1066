/**
 * The page's script: a button, a worker, one row checked.
 *
 * @module
 */

import { attention as inFloat64 } from "../../reference/mod.ts";
import { AttentionWorker } from "../worker/attention_worker.ts";

/** What is used of the page, so that Deno can check this without a DOM. */
interface Page {
  readonly document: {
    querySelector(name: string): {
      disabled: boolean;
      textContent: string | null;
      onclick: () => void;
    };
  };
}

const [TOKENS, HEADS, HEAD_DIM] = [512, 8, 64];
const shape = [1, TOKENS, HEADS, HEAD_DIM];

const noise = () =>
  Float32Array.from(
    { length: TOKENS * HEADS * HEAD_DIM },
    () => Math.random() - 0.5,
  );

const worker = new AttentionWorker(new URL("worker.js", location.href));
const { document } = globalThis as unknown as Page;
const button = document.querySelector("#run");
const result = document.querySelector("#result");

async function compute(): Promise<string> {
  const [query, key, value] = [noise(), noise(), noise()];
  const lastRow = query.slice(-HEADS * HEAD_DIM);
  const started = performance.now();
  const output = await worker.attention({
    query: { data: query, shape },
    key: { data: key.slice(), shape },
    value: { data: value.slice(), shape },
    causal: true,
  });
  const milliseconds = performance.now() - started;
  const expected = inFloat64({
    query: lastRow,
    key,
    value,
    batch: 1,
    queryLength: 1,
    keyLength: TOKENS,
    queryHeads: HEADS,
    kvHeads: HEADS,
    headDim: HEAD_DIM,
  });
  const got = output.data.slice(-HEADS * HEAD_DIM);
  const errors = expected.output.map((x, i) => Math.abs(x - got[i]));
  const largest = Math.max(...errors);
  return [
    `output       [${output.shape.join(", ")}]`,
    `time         ${milliseconds.toFixed(1)} ms, the first with compiling`,
    `last row     within ${largest.toExponential(1)} of float64`,
  ].join("\n");
}

button.onclick = async () => {
  button.disabled = true;
  result.textContent = "computing ...";
  result.textContent = await compute().catch(String);
  button.disabled = false;
};
