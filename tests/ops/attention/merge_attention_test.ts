import { assertEquals, assertRejects } from "@std/assert";
import { Prng } from "../../../src/core/prng.ts";
import {
  attention,
  type AttentionPart,
  EMPTY_LSE,
  type Gpu,
  type GpuTensor,
  type HostTensor,
  mergeAttention,
} from "../../../mod.ts";
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

interface Merging {
  readonly dim: number;
  readonly dtype: "f32" | "f16";
  /** Keys of each part. */
  readonly counts: readonly number[];
  /**
   * Where each part comes from: `attention()` on device tensors, or the host's
   * arrays that `attention()` returned, brought to the device as they are.
   */
  readonly from: readonly ("device" | "host")[];
}

const QUERIES = 5;

/** Holds the merge of parts against attention over all keys in float64. */
async function checkMerge(
  gpu: Gpu,
  { dim, dtype, counts, from }: Merging,
): Promise<void> {
  const prng = new Prng(dim);
  const normal = (length: number) => {
    const rows = Float32Array.from({ length }, () => prng.normal());
    return dtype === "f16" ? Float16Array.from(rows) : rows;
  };
  const keys = counts.reduce((a, b) => a + b);
  const width = HEADS * dim;
  const query = normal(QUERIES * width);
  const key = normal(keys * width);
  const value = normal(keys * width);
  const owned: GpuTensor[] = [];
  const upload = ({ data, shape }: HostTensor) => {
    const tensor = gpu.tensor(data, shape);
    owned.push(tensor);
    return tensor;
  };
  const onHost = (data: Float32Array | Float16Array): HostTensor => ({
    data,
    shape: [1, data.length / width, HEADS, dim],
  });
  const parts: AttentionPart[] = [];
  let start = 0;
  for (const [i, count] of counts.entries()) {
    const end = start + count;
    const inputs = {
      query: onHost(query),
      key: onHost(key.slice(start * width, end * width)),
      value: onHost(value.slice(start * width, end * width)),
    };
    start = end;
    if (from[i % from.length] === "host") {
      const { output, lse } = await attention(gpu, {
        ...inputs,
        returnLse: true,
      });
      parts.push({ output: upload(output), lse: upload(lse!) });
    } else {
      const { output, lse } = await attention(gpu, {
        query: upload(inputs.query),
        key: upload(inputs.key),
        value: upload(inputs.value),
        returnLse: true,
      });
      parts.push({ output, lse: lse! });
      owned.push(output, lse!);
    }
  }
  const merged = await mergeAttention(gpu, parts);
  const [output, lse] = await gpu.read([merged.output, merged.lse]);
  const problem = {
    query,
    key,
    value,
    batch: 1,
    queryLength: QUERIES,
    keyLength: keys,
    queryHeads: HEADS,
    kvHeads: HEADS,
    headDim: dim,
  };
  const expected = oracle(problem);
  const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl });
  const largest = Math.max(0, ...[...value].map(Math.abs));
  const rounding = dtype === "f16"
    ? counts.length * HALF_ROUNDING * largest
    : 0;
  const wantedLse = Float64Array.from(
    expected.lse,
    (x) => x === -Infinity ? EMPTY_LSE : x,
  );
  for (
    const [name, actual, wanted, limit] of [
      ["output", output, expected.output, bound.output + rounding],
      ["lse", lse, wantedLse, bound.lse],
    ] as const
  ) {
    const result = compareWithBound({
      actual: actual as Float32Array,
      expected: wanted,
      bound: limit,
    });
    const message = `${name} of ${counts} keys from ${from}`;
    assertEquals(result.ok, true, `${message}: ${JSON.stringify(result)}`);
  }
  for (const tensor of [...owned, merged.output, merged.lse]) {
    tensor.destroy();
  }
}

const FORMATS = [[8, "f32"], [7, "f32"], [8, "f16"], [7, "f16"]] as const;

for (const [dim, dtype] of FORMATS) {
  const features = dtype === "f16" ? ["shader-f16"] as const : [];

  gpuTest(
    `mergeAttention() of any parts is attention over all keys, d = ${dim}, ${dtype}`,
    // The second part is empty: it must change nothing.
    (_, gpu) =>
      checkMerge(gpu, { dim, dtype, counts: [7, 0, 1, 20], from: ["device"] }),
    { features },
  );

  gpuTest(
    `mergeAttention() takes what attention() returned of no keys, d = ${dim}, ${dtype}`,
    async (_, gpu) => {
      for (
        const from of [["host"], ["device"], ["host", "device"], [
          "device",
          "host",
        ]] as const
      ) {
        for (const counts of [[0, 0], [0, 0, 0], [0, 9], [9, 0], [0, 0, 9]]) {
          await checkMerge(gpu, { dim, dtype, counts, from });
        }
      }
    },
    { features },
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
