/**
 * Quire in the comparison: tensors on the device, one plan a case.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  type AttentionPlan,
  planAttention,
  planAttentionBackward,
} from "../../src/ops/mod.ts";
import { shuffledCache } from "../support/shuffled_cache.ts";
import { HEAD_DIM, HEADS, type PeerCase, type PeerInputs } from "./cases.ts";
import type { Contestant, Prepared } from "./contestant.ts";

/** Quire on a device. */
export function quire(gpu: Gpu, version: string): Contestant {
  return {
    name: "quire",
    version,
    whyNot: ({ dtype }) =>
      dtype === "f16" && !gpu.features.has("shader-f16")
        ? "the device lacks shader-f16"
        : undefined,
    prepare: (peerCase, inputs) =>
      peerCase.pass !== "forward"
        ? prepareGradients(gpu, peerCase, inputs)
        : peerCase.blockSize === undefined
        ? prepareDense(gpu, peerCase, inputs)
        : preparePaged(gpu, peerCase, inputs, peerCase.blockSize),
  };
}

/** What all forms end in. */
function prepared(
  gpu: Gpu,
  results: readonly GpuTensor[],
  record: (encoder: GPUCommandEncoder) => void,
  owned: readonly { destroy(): void }[],
): Prepared {
  return {
    call: () => gpu.submit("peers", record),
    wait: async () => void await gpu.queue.onSubmittedWorkDone(),
    results: () => gpu.read(results),
    destroy: () => owned.forEach((made) => made.destroy()),
  };
}

async function prepareDense(
  gpu: Gpu,
  { queries, keys, causal, dtype }: PeerCase,
  inputs: PeerInputs,
): Promise<Prepared> {
  const queryShape = [1, queries, HEADS, HEAD_DIM];
  const keyShape = [1, keys, HEADS, HEAD_DIM];
  const query = gpu.tensor(inputs.query, queryShape);
  const key = gpu.tensor(inputs.key, keyShape);
  const value = gpu.tensor(inputs.value, keyShape);
  const output = gpu.empty(dtype, queryShape);
  const plan: AttentionPlan = await planAttention(gpu, {
    query,
    key,
    value,
    causal,
  });
  const tensors = { query, key, value, output };
  return prepared(gpu, [output], (encoder) => plan.encode(encoder, tensors), [
    plan,
    ...Object.values(tensors),
  ]);
}

/** One plan for forward and one for backward, in one submission. */
async function prepareGradients(
  gpu: Gpu,
  { pass, queries, keys, causal, dtype }: PeerCase,
  inputs: PeerInputs,
): Promise<Prepared> {
  const queryShape = [1, queries, HEADS, HEAD_DIM];
  const keyShape = [1, keys, HEADS, HEAD_DIM];
  const query = gpu.tensor(inputs.query, queryShape);
  const key = gpu.tensor(inputs.key, keyShape);
  const value = gpu.tensor(inputs.value, keyShape);
  const tensors = {
    query,
    key,
    value,
    output: gpu.empty(dtype, queryShape),
    lse: gpu.empty("f32", queryShape.slice(0, -1)),
    outputGradient: gpu.tensor(inputs.outputGradient, queryShape),
    queryGradient: gpu.empty(dtype, queryShape),
    keyGradient: gpu.empty(dtype, keyShape),
    valueGradient: gpu.empty(dtype, keyShape),
  };
  const options = { query, key, value, causal };
  const forward = await planAttention(gpu, { ...options, returnLse: true });
  const backward = await planAttentionBackward(gpu, options);
  const recordForward = (encoder: GPUCommandEncoder) => {
    const { output, lse } = tensors;
    forward.encode(encoder, { query, key, value, output, lse });
  };
  if (pass === "backward") gpu.submit("peers", recordForward);
  const { queryGradient, keyGradient, valueGradient } = tensors;
  const gradients = [queryGradient, keyGradient, valueGradient];
  return prepared(gpu, gradients, (encoder) => {
    if (pass === "gradients") recordForward(encoder);
    backward.encode(encoder, tensors);
  }, [forward, backward, ...Object.values(tensors)]);
}

async function preparePaged(
  gpu: Gpu,
  { queries, keys, causal, dtype }: PeerCase,
  inputs: PeerInputs,
  blockSize: number,
): Promise<Prepared> {
  const cache = await shuffledCache(gpu, {
    numBlocks: Math.ceil(keys / blockSize) + 4,
    blockSize,
    kvHeads: HEADS,
    headDim: HEAD_DIM,
    dtype,
  });
  const sequence = cache.createSequence();
  const past = keys - queries;
  const part = (rows: PeerInputs["key"], from: number, to: number) =>
    gpu.tensor(
      rows.subarray(from * HEADS * HEAD_DIM, to * HEADS * HEAD_DIM),
      [to - from, HEADS, HEAD_DIM],
    );
  const rowsOf = (from: number, to: number) => ({
    key: part(inputs.key, from, to),
    value: part(inputs.value, from, to),
  });
  const old = rowsOf(0, past);
  if (past > 0) cache.append([{ sequence, count: past }], old);
  const step = cache.reserve([{ sequence, count: queries }]);
  const rows = rowsOf(past, keys);
  const shape = [1, queries, HEADS, HEAD_DIM];
  const query = gpu.tensor(inputs.query, shape);
  const output = gpu.empty(dtype, shape);
  const plan = await planAttention(gpu, {
    query,
    cache,
    sequences: [sequence],
    causal,
  });
  const tensors = { query, output, arenas: cache.arenas() };
  return prepared(gpu, [output], (encoder) => {
    step.encode(encoder, rows);
    plan.encode(encoder, tensors);
  }, [
    plan,
    cache,
    query,
    output,
    ...Object.values(old),
    ...Object.values(rows),
  ]);
}
