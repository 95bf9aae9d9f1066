import { assertEquals, assertRejects } from "@std/assert";
import { Prng } from "../../../src/core/prng.ts";
import { attention, mergeAttention } from "../../../mod.ts";
import {
  attention as oracle,
  compareWithBound,
  errorBound,
  GATES,
} from "../../../reference/mod.ts";
import { gpuTest } from "../../support/gpu.ts";

const HEADS = 2;

/**
 * What rounding to f16 adds, over the largest value: a part's own, which
 * weights that sum to one do not enlarge, and one more for each fold.
 */
const HALF_ROUNDING = 2 ** -11;

for (
  const [dim, dtype] of [[8, "f32"], [7, "f32"], [8, "f16"], [
    7,
    "f16",
  ]] as const
) {
  gpuTest(
    `mergeAttention() of any parts is attention over all keys, d = ${dim}, ${dtype}`,
    async (_, gpu) => {
      const prng = new Prng(dim);
      const normal = (length: number) => {
        const rows = Float32Array.from({ length }, () => prng.normal());
        return dtype === "f16" ? Float16Array.from(rows) : rows;
      };
      const queries = 5;
      // The second part is empty: it must change nothing.
      const counts = [7, 0, 1, 20];
      const keys = counts.reduce((a, b) => a + b);
      const query = normal(queries * HEADS * dim);
      const key = normal(keys * HEADS * dim);
      const value = normal(keys * HEADS * dim);
      const shape = (rows: number) => [1, rows, HEADS, dim];
      const onGpu = gpu.tensor(query, shape(queries));
      const owned = [onGpu];
      const parts = [];
      let start = 0;
      for (const count of counts) {
        const slice = (all: Float32Array | Float16Array) => {
          const part = all.slice(
            start * HEADS * dim,
            (start + count) * HEADS * dim,
          );
          const tensor = gpu.tensor(part, shape(count));
          owned.push(tensor);
          return tensor;
        };
        const { output, lse } = await attention(gpu, {
          query: onGpu,
          key: slice(key),
          value: slice(value),
          returnLse: true,
        });
        parts.push({ output, lse: lse! });
        owned.push(output, lse!);
        start += count;
      }
      const merged = await mergeAttention(gpu, parts);
      const [output, lse] = await gpu.read([merged.output, merged.lse]);
      const problem = {
        query,
        key,
        value,
        batch: 1,
        queryLength: queries,
        keyLength: keys,
        queryHeads: HEADS,
        kvHeads: HEADS,
        headDim: dim,
      };
      const expected = oracle(problem);
      const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl });
      const largest = Math.max(...[...value].map(Math.abs));
      const rounding = dtype === "f16"
        ? counts.length * HALF_ROUNDING * largest
        : 0;
      for (
        const [actual, wanted, limit] of [
          [output, expected.output, bound.output + rounding],
          [lse, expected.lse, bound.lse],
        ] as const
      ) {
        const result = compareWithBound({
          actual: actual as Float32Array,
          expected: wanted,
          bound: limit,
        });
        assertEquals(result.ok, true, JSON.stringify(result));
      }
      for (const tensor of [...owned, merged.output, merged.lse]) {
        tensor.destroy();
      }
    },
    { features: dtype === "f16" ? ["shader-f16"] : [] },
  );
}

gpuTest("mergeAttention() rejects parts that do not fit", async (_, gpu) => {
  const output = gpu.empty("f32", [1, 2, 1, 4]);
  const lse = gpu.empty("f32", [1, 2, 1]);
  await assertRejects(() => mergeAttention(gpu, []), TypeError, "parts");
  await assertRejects(
    () => mergeAttention(gpu, [{ output, lse: output }]),
    TypeError,
    "parts[0].lse.shape",
  );
  await assertRejects(
    () => mergeAttention(gpu, [{ output, lse }, { output: lse, lse }]),
    TypeError,
    "parts[1].output.shape",
  );
  output.destroy();
  lse.destroy();
});
