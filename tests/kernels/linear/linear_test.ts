import { assertLess } from "@std/assert";
import { linearAttention } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";

const CASES = [
  { gate: undefined, q: 2, k: 2, s: 2, d: 8, e: 12, tokens: 70, chunk: 16 },
  { gate: "token", q: 4, k: 1, s: 2, d: 6, e: 5, tokens: 70, chunk: 16 },
  { gate: "channel", q: 2, k: 2, s: 4, d: 33, e: 40, tokens: 130, chunk: 64 },
  { gate: "head", q: 1, k: 1, s: 1, d: 8, e: 8, tokens: 100, chunk: 64 },
  { gate: "channels", q: 2, k: 1, s: 2, d: 8, e: 8, tokens: 65, chunk: 32 },
] as const;

gpuTest("linearAttention() is the recurrence", async (_, gpu) => {
  for (const [i, own] of CASES.entries()) {
    const { gate, q, k, s, d, e, tokens, chunk } = own;
    const shapes = {
      token: [2, tokens, s],
      channel: [2, tokens, s, d],
      head: [s],
      channels: [s, d],
    };
    const noise = (
      shape: readonly number[],
      salt: number,
      f = (x: number) => x,
    ) => ({
      data: Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        (_, n) => f(Math.sin(n * n + 7 * salt + i)),
      ),
      shape,
    });
    const query = noise([2, tokens, q, d], 1);
    const key = noise([2, tokens, k, d], 2);
    const value = noise([2, tokens, s, e], 3);
    const initialState = noise([2, s, d, e], 4);
    const decay = gate && noise(shapes[gate], 5, (x) => -Math.abs(x));
    const { output, state } = await linearAttention(gpu, {
      query,
      key,
      value,
      initialState,
      returnState: true,
      chunk,
      subChunk: 8,
      ...decay && { decay },
    });
    const outputs = Math.max(q, s);
    for (let b = 0; b < 2; b++) {
      for (let head = 0; head < s; head++) {
        const at = (b * s + head) * d * e;
        const h = Float64Array.from(initialState.data.subarray(at, at + d * e));
        for (let t = 0; t < tokens; t++) {
          const row = b * tokens + t;
          for (let r = 0; r < d; r++) {
            const gates = {
              token: row * s + head,
              channel: (row * s + head) * d + r,
              head,
              channels: head * d + r,
            };
            const kept = decay ? Math.exp(decay.data[gates[gate!]]) : 1;
            const own = key.data[(row * k + Math.floor(head * k / s)) * d + r];
            for (let c = 0; c < e; c++) {
              h[r * e + c] = kept * h[r * e + c] +
                own * value.data[(row * s + head) * e + c];
            }
          }
          for (let o = 0; o < outputs; o++) {
            if (Math.floor(o * s / outputs) !== head) continue;
            const from = Math.floor(o * q / outputs);
            for (let c = 0; c < e; c++) {
              let sum = 0;
              for (let r = 0; r < d; r++) {
                sum += query.data[(row * q + from) * d + r] * h[r * e + c];
              }
              const got = output.data[(row * outputs + o) * e + c];
              assertLess(Math.abs(got - sum / Math.sqrt(d)), 2e-5);
            }
          }
        }
        for (let n = 0; n < d * e; n++) {
          assertLess(Math.abs(state!.data[at + n] - h[n]), 2e-5);
        }
      }
    }
  }
});
