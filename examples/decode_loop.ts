/**
 * A decode loop of one's own (`deno task example:decode`). The device, the
 * buffers, the weights and the kernels around attention are the caller's, here
 * a toy of 32 layers; only cache and attention are the library's.
 *
 * - One plan serves all layers of all steps: a step calls `update()` once, and
 *   `encode()` once a layer.
 * - Positions are rotated in (RoPE): keys as they are appended, queries by a plan
 *   of their own, both by one table and one buffer of positions.
 * - A step is one submit, which holds the caller's kernels, the writes into the
 *   cache and the attention, and ends by copying what is sampled.
 * - A step makes no buffer and no bind group once its sizes have been met: the
 *   plans and the cache keep theirs, and the caller's were made at the start.
 *   `tests/examples_test.ts` counts them.
 * - Sequences fork: they share blocks until they are written.
 *
 * @module
 */

import {
  type AttentionPlan,
  type AttentionProblem,
  attentionProblem,
  type BlockTable,
  type Gpu,
  type GpuTensor,
  KvCache,
  openGpu,
  planAttention,
  rotaryTable,
} from "../mod.ts";
import {
  planRotation,
  queryPositions,
  type RotationPlan,
} from "../src/ops/mod.ts";
import { Prng } from "../src/core/prng.ts";

/** How large the toy is. */
export interface LoopSizes {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** The most tokens of one step. */
  readonly maxTokens: number;
  /** Blocks of the cache. */
  readonly numBlocks: number;
}

/** Tokens that come next in a sequence. */
export interface NextTokens {
  readonly sequence: BlockTable;
  readonly tokens: readonly number[];
}

/** Elements of a token's row: the model's width, and its vocabulary too. */
export function widthOf({ queryHeads, headDim }: LoopSizes): number {
  return queryHeads * headDim;
}

/** Weights `[layers, width + 2 * kvHeads * headDim, width]`, of no meaning. */
export function weightsOf(sizes: LoopSizes): Float32Array {
  const width = widthOf(sizes);
  const rows = sizes.layers * (width + 2 * sizes.kvHeads * sizes.headDim);
  const prng = new Prng(1);
  const size = 1 / Math.sqrt(width);
  return new Float32Array(rows * width).map(() => size * prng.normal());
}

/** The row with which token `token` begins. */
export function embedding(token: number, width: number): Float32Array {
  const row = new Float32Array(width);
  row[token] = 4;
  return row;
}

/** WGSL of the caller's own: what is before attention, and what is after. */
function shaders(sizes: LoopSizes): string {
  const width = widthOf(sizes);
  const kv = sizes.kvHeads * sizes.headDim;
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(1) var<storage, read_write> query: array<f32>;
@group(0) @binding(2) var<storage, read_write> key: array<f32>;
@group(0) @binding(3) var<storage, read_write> value: array<f32>;
@group(0) @binding(4) var<storage, read_write> attended: array<f32>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;

@compute @workgroup_size(64)
fn project(@builtin(global_invocation_id) id: vec3u) {
  let token = id.x / ${width + 2 * kv}u;
  let row = id.x % ${width + 2 * kv}u;
  if (token >= ${sizes.maxTokens}u) { return; }
  var sum = 0.0;
  var squares = 0.0;
  for (var i = 0u; i < ${width}u; i++) {
    let x = hidden[token * ${width}u + i];
    squares += x * x;
    sum += weights[row * ${width}u + i] * x;
  }
  sum *= inverseSqrt(squares / ${width}.0 + 1e-5);
  if (row < ${width}u) {
    query[token * ${width}u + row] = sum;
  } else if (row < ${width + kv}u) {
    key[token * ${kv}u + row - ${width}u] = sum;
  } else {
    value[token * ${kv}u + row - ${width + kv}u] = sum;
  }
}

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < arrayLength(&hidden)) { hidden[id.x] += attended[id.x]; }
}`;
}

/** The caller's buffers: rows of up to `maxTokens` tokens, and weights. */
export interface Own {
  readonly hidden: GPUBuffer;
  readonly query: GPUBuffer;
  /** The queries, rotated. */
  readonly rotated: GPUBuffer;
  /** Where each token stands in its sequence. */
  readonly positions: GPUBuffer;
  readonly key: GPUBuffer;
  readonly value: GPUBuffer;
  readonly attended: GPUBuffer;
  readonly weights: GPUBuffer;
  readonly sampled: GPUBuffer;
}

/** A decoder's loop on a device of the caller's. */
export class DecodeLoop implements Disposable {
  readonly sizes: LoopSizes;
  readonly gpu: Gpu;
  readonly cache: KvCache;
  readonly #plan: AttentionPlan;
  readonly #rotation: RotationPlan;
  /** Cosines and sines of all positions that there will be. */
  readonly #table: GpuTensor;
  /** The buffers, as the last step left them. */
  readonly own: Own;
  readonly #project: GPUComputePipeline;
  readonly #add: GPUComputePipeline;
  /** One a layer, each with its weights. */
  readonly #groups: readonly GPUBindGroup[];

  private constructor(
    sizes: LoopSizes,
    { gpu, cache, plan, rotation }: {
      gpu: Gpu;
      cache: KvCache;
      plan: AttentionPlan;
      rotation: RotationPlan;
    },
  ) {
    this.sizes = sizes;
    this.gpu = gpu;
    this.cache = cache;
    this.#plan = plan;
    this.#rotation = rotation;
    const { headDim } = sizes;
    const positions = sizes.numBlocks * cache.blockSize;
    this.#table = gpu.tensor(
      rotaryTable({ positions, dim: headDim }),
      [positions, headDim / 2, 2],
    );
    const { device } = gpu;
    const width = widthOf(sizes);
    const kv = sizes.kvHeads * sizes.headDim;
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const buffer = (label: string, elements: number, usage: number) =>
      device.createBuffer({ label, size: 4 * elements, usage });
    const rows = (label: string, elements: number) =>
      buffer(label, sizes.maxTokens * elements, STORAGE | COPY_SRC | COPY_DST);
    const weights = weightsOf(sizes) as Float32Array<ArrayBuffer>;
    this.own = {
      hidden: rows("hidden", width),
      query: rows("query", width),
      rotated: rows("rotated", width),
      positions: rows("positions", 1),
      key: rows("key", kv),
      value: rows("value", kv),
      attended: rows("attended", width),
      weights: buffer("weights", weights.length, STORAGE | COPY_DST),
      sampled: buffer("sampled", sizes.maxTokens * width, MAP_READ | COPY_DST),
    };
    device.queue.writeBuffer(this.own.weights, 0, weights);

    const type = (binding: number, type: GPUBufferBindingType) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type },
    });
    const layout = device.createBindGroupLayout({
      entries: [
        ...[0, 1, 2, 3, 4].map((binding) => type(binding, "storage")),
        type(5, "read-only-storage"),
      ],
    });
    const module = device.createShaderModule({ code: shaders(sizes) });
    const pipeline = (entryPoint: string) =>
      device.createComputePipeline({
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint },
      });
    this.#project = pipeline("project");
    this.#add = pipeline("add");
    const { hidden, query, key, value, attended } = this.own;
    const size = 4 * width * (width + 2 * kv); // a multiple of 256
    this.#groups = Array.from(
      { length: sizes.layers },
      (_, layer) =>
        device.createBindGroup({
          layout,
          entries: [
            ...[hidden, query, key, value, attended].map((buffer, binding) => ({
              binding,
              resource: { buffer },
            })),
            {
              binding: 5,
              resource: {
                buffer: this.own.weights,
                offset: layer * size,
                size,
              },
            },
          ],
        }),
    );
  }

  /** Makes all that the loop will need. */
  static async create(
    device: GPUDevice,
    sizes: LoopSizes,
  ): Promise<DecodeLoop> {
    const gpu = await openGpu({ device }); // used as it is, never destroyed
    const { layers, kvHeads, headDim, numBlocks } = sizes;
    const cache = await KvCache.create(gpu, {
      numBlocks,
      layers,
      kvHeads,
      headDim,
      rope: { pairing: PAIRING },
    });
    const plan = await planAttention(gpu, problemOptions(sizes, cache, []));
    const rotation = await planRotation(gpu, rotationOptions(sizes, 0));
    return new DecodeLoop(sizes, { gpu, cache, plan, rotation });
  }

  /**
   * Computes the tokens of one step: prompts and single tokens alike.
   *
   * @returns The row of each sequence's last token.
   */
  async step(next: readonly NextTokens[]): Promise<Float32Array[]> {
    const { sizes, gpu, cache } = this;
    const { device } = gpu;
    const { hidden, sampled } = this.own;
    const width = widthOf(sizes);
    const tokens = next.flatMap((one) => one.tokens);
    const rowBytes = 4 * width;
    for (const [i, token] of tokens.entries()) {
      const row = embedding(token, width) as Float32Array<ArrayBuffer>;
      device.queue.writeBuffer(hidden, i * rowBytes, row);
    }

    // Slots for all sequences or for none; given back if anything throws.
    using reserved = cache.reserve(
      next.map(({ sequence, tokens }) => ({ sequence, count: tokens.length })),
    );
    const problem = this.problem(next);
    await this.#plan.update(problem);
    await this.#rotation.update(rotationOptions(sizes, tokens.length));
    const places = queryPositions(problem) as Uint32Array<ArrayBuffer>;
    device.queue.writeBuffer(this.own.positions, 0, places);
    const { query, rotated, key, value, output } = this.#rows(tokens.length);
    const positions = gpu.wrap(this.own.positions, "u32", [tokens.length]);
    const rotation = { positions, table: this.#table };

    const encoder = device.createCommandEncoder();
    for (let layer = 0; layer < sizes.layers; layer++) {
      const elements = width + 2 * sizes.kvHeads * sizes.headDim;
      this.#run(encoder, this.#project, layer, tokens.length * elements);
      reserved.encode(encoder, { layer, key, value, rotation });
      this.#rotation.encode(encoder, {
        input: query,
        output: rotated,
        rotation,
      });
      const arenas = cache.arenas(layer);
      this.#plan.encode(encoder, { query: rotated, arenas, output });
      this.#run(encoder, this.#add, layer, tokens.length * width);
    }
    const bytes = tokens.length * rowBytes;
    encoder.copyBufferToBuffer(hidden, 0, sampled, 0, bytes);
    gpu.submit(encoder); // and not by the queue: so its buffers are free again
    reserved.commit();

    await sampled.mapAsync(GPUMapMode.READ, 0, bytes);
    const rows = new Float32Array(sampled.getMappedRange(0, bytes).slice(0));
    sampled.unmap();
    let end = 0;
    return next.map(({ tokens }) => {
      end += tokens.length;
      return rows.slice((end - 1) * width, end * width);
    });
  }

  /** What attention is about in a step: nothing but lengths and tables. */
  problem(next: readonly NextTokens[]): AttentionProblem {
    return attentionProblem(problemOptions(this.sizes, this.cache, next));
  }

  /** The caller's buffers, seen as tensors of so many tokens. */
  #rows(tokens: number): Record<
    "query" | "rotated" | "key" | "value" | "output",
    GpuTensor
  > {
    const { queryHeads, kvHeads, headDim } = this.sizes;
    const view = (buffer: GPUBuffer, heads: number) =>
      this.gpu.wrap(buffer, "f32", [tokens, heads, headDim]);
    const { query, rotated, key, value, attended } = this.own;
    return {
      query: view(query, queryHeads),
      rotated: view(rotated, queryHeads),
      key: view(key, kvHeads),
      value: view(value, kvHeads),
      output: view(attended, queryHeads),
    };
  }

  /** Records a kernel of the caller's. */
  #run(
    encoder: GPUCommandEncoder,
    pipeline: GPUComputePipeline,
    layer: number,
    invocations: number,
  ): void {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, this.#groups[layer]);
    pass.dispatchWorkgroups(Math.ceil(invocations / 64));
    pass.end();
  }

  /** Frees everything but the device. */
  [Symbol.dispose](): void {
    this.#plan.destroy();
    this.#rotation.destroy();
    this.#table.destroy();
    this.cache.destroy();
    for (const buffer of Object.values(this.own)) buffer.destroy();
    this.gpu.destroy();
  }
}

/** Pairs of elements that are rotated: the same for queries and keys. */
const PAIRING = "half-split";

/** The options of a step's rotation. */
function rotationOptions(
  { queryHeads, headDim }: LoopSizes,
  tokens: number,
) {
  const shape = [tokens, queryHeads, headDim];
  return { rows: { dtype: "f32", shape }, pairing: PAIRING } as const;
}

/** The options of a step's attention; its query may be a shape only. */
function problemOptions(
  { queryHeads, headDim }: LoopSizes,
  cache: KvCache,
  next: readonly NextTokens[],
) {
  const cuSeqlens = [0];
  for (const { tokens } of next) {
    cuSeqlens.push(cuSeqlens.at(-1)! + tokens.length);
  }
  const shape = [cuSeqlens.at(-1)!, queryHeads, headDim];
  return {
    query: { dtype: "f32", shape },
    cuSeqlens,
    cache,
    sequences: next.map(({ sequence }) => sequence),
    causal: true,
  } as const;
}

/**
 * The `rank`-th likeliest token by a row: the toy's head moves all of them on,
 * so that it does not repeat the last one for ever.
 */
export function tokenOf(row: ArrayLike<number>, rank = 0): number {
  const order = Array.from(row, (_, element) => element)
    .sort((a, b) => row[b] - row[a]);
  return (5 * order[rank] + 3) % row.length;
}

/** What {@linkcode generate} goes on from, and how far. */
export interface GenerateOptions {
  readonly prompt: readonly number[];
  /** Continuations, each of which begins with another token. */
  readonly forks: number;
  /** Tokens of each continuation. */
  readonly count: number;
  /** Told of each step's rows, one a sequence. */
  readonly onStep?: (rows: readonly Float32Array[]) => void;
}

/** A prompt, and continuations that share its blocks. */
export async function generate(
  loop: DecodeLoop,
  { prompt, forks, count, onStep }: GenerateOptions,
): Promise<number[][]> {
  const first = loop.cache.createSequence();
  const [row] = await loop.step([{ sequence: first, tokens: prompt }]);
  onStep?.([row]);
  const sequences = Array.from({ length: forks }, () => first.fork());
  first.free();
  const generated = sequences.map((_, rank) => [tokenOf(row, rank)]);
  for (let step = 1; step < count; step++) {
    const rows = await loop.step(sequences.map((sequence, i) => ({
      sequence,
      tokens: generated[i].slice(-1),
    })));
    rows.forEach((row, i) => generated[i].push(tokenOf(row)));
    onStep?.(rows);
  }
  for (const sequence of sequences) sequence.free();
  return generated;
}
