/**
 * Gradients of rows that lie apart are those of rows side by side, bit by bit,
 * and gradients are written where strides say, and nowhere else.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import {
  attention,
  attentionBackward,
  type AttentionOptions,
  attentionProblem,
  type GpuTensor,
  type HostTensor,
  planAttention,
  planAttentionBackward,
} from "../../mod.ts";
import type {
  GradientStrides,
  ScoreGradients,
  Strides,
} from "../../src/ops/mod.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  at,
  eachRow,
  type Elements,
  laidApart,
  noise,
  POISON,
  VIEWS,
} from "./strided_rows.ts";

type Inputs = Record<"query" | "key" | "value", HostTensor>;
type Options = Omit<AttentionOptions, "query" | "key" | "value" | "qkv">;

/** Small, so that kernels compile fast and tiles are several. */
const TILES = {
  lanes: 8,
  rowsPerLane: 1,
  keysPerLane: 1,
  keys: 4,
  rows: 4,
  modStep: 4,
  storedKeys: 8,
};

/** Gradients of scores are made twice, or once. */
const WAYS = ["recomputed", "stored"] as const;

/** The output and the gradients, from a saved state. */
async function gradientsOf(
  gpu: Gpu,
  inputs: AttentionOptions,
  outputGradient: HostTensor,
  scoreGradients: ScoreGradients = "recomputed",
): Promise<readonly HostTensor["data"][]> {
  const { output, saved } = await attention(gpu, {
    ...inputs,
    forBackward: true,
  });
  using state = saved!;
  const { query, key, value } = await attentionBackward(gpu, state, {
    outputGradient,
  }, { tiles: TILES, scoreGradients });
  return [output, query, key, value].map((tensor) =>
    (tensor as HostTensor).data
  );
}

async function holdViews(
  gpu: Gpu,
  inputs: Inputs,
  { views, options, alone = false }: {
    readonly views: readonly string[];
    readonly options: Options;
    readonly alone?: boolean;
  },
): Promise<void> {
  const { query, key, value } = inputs;
  const [b, q, h, d] = query.shape;
  const [, k, kv] = key.shape;
  const dv = value.shape[3];
  const type: Elements = query.data instanceof Float32Array ? "f32" : "f16";
  const outputGradient = noise([b, q, h, dv], 9, type);
  const plain = await gradientsOf(
    gpu,
    { ...inputs, ...options },
    outputGradient,
  );
  for (const view of views) {
    const lie = VIEWS[view];
    const apart = {
      query: laidApart(query, ...lie(b, q, h, d)),
      key: laidApart(key, ...lie(b, k, kv, d)),
      value: laidApart(value, ...lie(b, k, kv, dv)),
    };
    const given = alone
      ? (["query", "key", "value"] as const).map((one) => ({
        ...inputs,
        [one]: apart[one],
      }))
      : [apart];
    for (const tensors of given) {
      const inputs = { ...tensors as typeof apart, ...options };
      for (const way of WAYS) {
        assertEquals(
          await gradientsOf(gpu, inputs, outputGradient, way),
          plain,
          `${view}, ${way}`,
        );
      }
    }
  }
}

const SIZES = { b: 2, q: 11, k: 14, h: 4, kv: 2, d: 8, dv: 12 };

function inputsOf(type: Elements, sizes: Partial<typeof SIZES> = {}): Inputs {
  const { b, q, k, h, kv, d, dv } = { ...SIZES, ...sizes };
  return {
    query: noise([b, q, h, d], 1, type),
    key: noise([b, k, kv, d], 2, type),
    value: noise([b, k, kv, dv], 3, type),
  };
}

gpuTest(
  "gradients of rows that lie apart are those of rows side by side, bitwise",
  async (_, gpu) => {
    await holdViews(gpu, inputsOf("f32"), {
      views: Object.keys(VIEWS).filter((view) => !view.includes("odd")),
      options: { causal: true },
    });
    await holdViews(gpu, inputsOf("f32"), {
      views: ["sequence before batch"],
      options: { causal: true, keyLengths: [5, 14] },
      alone: true,
    });
  },
);

gpuTest(
  "gradients of halves that lie apart are those of halves side by side",
  async (_, gpu) =>
    await holdViews(gpu, inputsOf("f16", { d: 7, dv: 5 }), {
      views: ["at an odd place, with odd steps"],
      options: {},
    }),
  { features: ["shader-f16"] },
);

gpuTest(
  "gradients of ragged, paged and heads-first views are bitwise the same",
  async (_, gpu) => {
    const [h, kv, d] = [4, 2, 8];
    const query = noise([8, h, d], 1, "f32");
    const key = noise([13, kv, d], 2, "f32");
    const value = noise([13, kv, d], 3, "f32");
    const cases: [Options, AttentionOptions, Inputs, HostTensor][] = [[
      { cuSeqlens: [0, 3, 3, 8], cuSeqlensKey: [0, 5, 6, 13], causal: true },
      {
        query: laidApart(query, [2 * h * d + 4, 2 * d], 4),
        key: laidApart(key, [d, 13 * d], 0),
        value: laidApart(value, [kv * d + 4, d], 8),
      },
      { query, key, value },
      noise([8, h, d], 4, "f32"),
    ]];
    const [blocks, size] = [7, 4];
    const paged = {
      query: noise([2, 3, h, d], 5, "f32"),
      key: noise([blocks, size, kv, d], 6, "f32"),
      value: noise([blocks, size, kv, d], 7, "f32"),
    };
    const turns = [2 * size * kv * d, kv * d, d];
    cases.push([
      {
        blockTable: Uint32Array.of(3, 6, 1, 5, 2, 4),
        keyLengths: [9, 12],
        causal: true,
      },
      {
        query: paged.query,
        key: laidApart(paged.key, turns, 0),
        value: laidApart(paged.value, turns, 4),
      },
      paged,
      noise([2, 3, h, d], 8, "f32"),
    ]);
    const first = {
      query: noise([2, h, 6, d], 5, "f32"),
      key: noise([2, kv, 9, d], 6, "f32"),
      value: noise([2, kv, 9, d], 7, "f32"),
    };
    cases.push([
      { layout: "bhsd", causal: true },
      {
        query: laidApart(first.query, [h * d, d, 2 * h * d], 0),
        key: laidApart(first.key, [kv * 12 * d, 12 * d, d], 4),
        value: laidApart(first.value, [kv * 9 * d, d, kv * d], 0),
      },
      first,
      noise([2, h, 6, d], 8, "f32"),
    ]);
    for (const [options, apart, plain, gradient] of cases) {
      const given = { ...apart, ...options };
      const expected = await gradientsOf(
        gpu,
        { ...plain, ...options },
        gradient,
      );
      for (const way of WAYS) {
        assertEquals(
          await gradientsOf(gpu, given, gradient, way),
          expected,
          `${JSON.stringify(options)}, ${way}`,
        );
      }
    }
  },
);

gpuTest(
  "views of GPU tensors, and of what forward gave, have gradients where they are",
  async (_, gpu) => {
    const [b, s, h, d] = [2, 6, 2, 8];
    const fused = noise([b, s, 3 * h, d], 4, "f32");
    const gradient = noise([b, s, h, d], 5, "f32");
    using tensor = gpu.tensor(fused.data, fused.shape);
    using outputGradient = gpu.tensor(gradient.data, gradient.shape);
    const part = (n: number) => ({
      tensor,
      shape: [b, s, h, d],
      strides: [s * 3 * h * d, 3 * h * d, d, 1],
      offset: n * h * d,
    });
    const views = { query: part(0), key: part(1), value: part(2) };
    const whole = await attention(gpu, {
      qkv: tensor,
      causal: true,
      forBackward: true,
    });
    using state = whole.saved!;
    const forward = await attention(gpu, {
      ...views,
      causal: true,
      returnLse: true,
    });
    const { output, lse } = forward as { output: GpuTensor; lse: GpuTensor };
    const found = await attentionBackward(
      gpu,
      { ...views, causal: true, output, lse },
      { outputGradient },
      { tiles: TILES },
    );
    const expected = await attentionBackward(gpu, state, { outputGradient }, {
      tiles: TILES,
    });
    for (const name of ["query", "key", "value"] as const) {
      const [one, other] = [found[name], expected[name]] as GpuTensor[];
      assertEquals(one.shape, other.shape);
      assertEquals(await gpu.readOne(one), await gpu.readOne(other), name);
      one.destroy();
      other.destroy();
    }
    for (const one of [whole.output, output, lse]) one.destroy();
  },
);

/** Gradients that a plan writes, all into poison. */
async function planned(
  gpu: Gpu,
  inputs: Inputs,
  options: Options & Pick<AttentionOptions, "outputStrides" | "outputOffset">,
  { gradientStrides, room, splits = 1, scoreGradients = "recomputed" }: {
    readonly gradientStrides?: GradientStrides;
    readonly room: number;
    readonly splits?: number;
    readonly scoreGradients?: ScoreGradients;
  },
) {
  const all = { ...options, ...inputs, returnLse: true };
  using forward = await planAttention(gpu, all);
  using backward = await planAttentionBackward(gpu, all, {
    tiles: TILES,
    splits,
    scoreGradients,
    ...(gradientStrides && { gradientStrides }),
  });
  const made: GpuTensor[] = [];
  const keep = (one: GpuTensor) => (made.push(one), one);
  const up = ({ data, shape }: HostTensor) => keep(gpu.tensor(data, shape));
  const written = (shape: readonly number[], apart: boolean) => {
    const size = shape.reduce((product, n) => product * n, 1);
    const data = new Float32Array(apart ? room : size).fill(POISON);
    return keep(gpu.tensor(data, apart ? [room] : shape));
  };
  try {
    const { query, key, value } = inputs;
    const lying = options.outputStrides;
    const shape = [...query.shape.slice(0, -1), value.shape.at(-1)!];
    const gradient = noise(shape, 9, "f32");
    const tensors = { query: up(query), key: up(key), value: up(value) };
    const output = written(shape, lying !== undefined);
    const lse = keep(gpu.empty("f32", shape.slice(0, -1)));
    const outputGradient = up(
      lying === undefined
        ? gradient
        : asTensor(laidApart(gradient, lying, options.outputOffset ?? 0)),
    );
    const gradients = (["query", "key", "value"] as const).map((name) =>
      written(inputs[name].shape, gradientStrides?.[name] !== undefined)
    );
    const [queryGradient, keyGradient, valueGradient] = gradients;
    gpu.submit("step", (encoder) => {
      forward.encode(encoder, { ...tensors, output, lse });
      backward.encode(encoder, {
        ...tensors,
        output,
        lse,
        outputGradient,
        queryGradient,
        keyGradient,
        valueGradient,
      });
    });
    return await gpu.read(gradients) as Float32Array[];
  } finally {
    for (const one of made) one.destroy();
  }
}

const asTensor = ({ data }: { data: HostTensor["data"] }): HostTensor => ({
  data,
  shape: [data.length],
});

gpuTest(
  "gradients are written where strides say, and nowhere else",
  async (_, gpu) => {
    const { b, q, k, h, kv, d, dv } = SIZES;
    const inputs = inputsOf("f32");
    const room = 4096;
    const options = { causal: true };
    const plain = await planned(gpu, inputs, options, { room });
    const names = ["query", "key", "value"] as const;
    const shapes = names.map((name) => inputs[name].shape);
    for (
      const view of [
        "sequence before batch",
        "heads before tokens, rows padded",
        "at an odd place, with odd steps",
      ]
    ) {
      const lie = VIEWS[view];
      const of = (
        shape: readonly number[],
        [strides, offset]: readonly [number[], number],
      ): Strides => ({ shape, strides, offset });
      const gradientStrides = {
        query: of(shapes[0], lie(b, q, h, d)),
        key: of(shapes[1], lie(b, k, kv, d)),
        value: of(shapes[2], lie(b, k, kv, dv)),
      };
      for (
        const [some, scoreGradients] of [
          [gradientStrides, "recomputed"],
          [gradientStrides, "stored"],
          [{ key: gradientStrides.key }, "recomputed"],
          [{ query: gradientStrides.query }, "recomputed"],
        ] as [GradientStrides, ScoreGradients][]
      ) {
        const found = await planned(gpu, inputs, options, {
          gradientStrides: some,
          scoreGradients,
          room,
        });
        names.forEach((name, i) => {
          const own = some[name];
          if (own === undefined) return assertEquals(found[i], plain[i], view);
          const { strides, offset = 0 } = own;
          const width = shapes[i].at(-1)!;
          const expected = new Float32Array(room).fill(POISON);
          eachRow(shapes[i], (index, row) =>
            expected.set(
              plain[i].subarray(row * width, (row + 1) * width),
              at(index, { strides, offset }),
            ));
          assertEquals(
            found[i],
            expected,
            `${view}, ${scoreGradients}: ${name}`,
          );
        });
      }
    }
    // Of sums of parts, too.
    const parts = await planned(gpu, inputs, options, { room, splits: 2 });
    const strides = [k * kv * (d + 1), kv * (d + 1), d + 1];
    const sums = await planned(gpu, inputs, options, {
      gradientStrides: { key: { shape: shapes[1], strides, offset: 3 } },
      room,
      splits: 2,
    });
    eachRow(shapes[1], (index, row) => {
      const from = at(index, { strides, offset: 3 });
      assertEquals(
        sums[1].subarray(from, from + d),
        parts[1].subarray(row * d, (row + 1) * d),
      );
    });
    assertEquals([sums[0], sums[2]], [parts[0], parts[2]]);
    // And where the output lies apart.
    const outputStrides = [h * dv, b * h * dv, dv];
    const apart = await planned(gpu, inputs, {
      ...options,
      outputStrides,
      outputOffset: 4,
    }, { room });
    assertEquals(apart, plain);
    const ragged = {
      query: noise([7, h, d], 1, "f32"),
      key: noise([7, kv, d], 2, "f32"),
      value: noise([7, kv, dv], 3, "f32"),
    };
    const first = {
      query: noise([b, h, 5, d], 1, "f32"),
      key: noise([b, kv, 6, d], 2, "f32"),
      value: noise([b, kv, 6, dv], 3, "f32"),
    };
    for (
      const [own, more, lying] of [
        [ragged, { cuSeqlens: [0, 2, 2, 7], causal: true }, [dv, 7 * dv]],
        [first, { layout: "bhsd", causal: true }, [h * dv, dv, b * h * dv]],
      ] as const
    ) {
      assertEquals(
        await planned(gpu, own, { ...more, outputStrides: lying }, { room }),
        await planned(gpu, own, more, { room }),
      );
    }
    // Others stay side by side, heads before tokens.
    const turned = { layout: "bhsd", causal: true } as const;
    const key = {
      shape: first.key.shape,
      strides: [kv * d, d, b * kv * d],
    };
    const some = await planned(gpu, first, turned, {
      gradientStrides: { key },
      room,
    });
    const all = await planned(gpu, first, turned, { room });
    assertEquals([some[0], some[2]], [all[0], all[2]]);
  },
);

gpuTest(
  "strides of gradients that cannot be are refused by their name",
  async (_, gpu) => {
    const inputs = inputsOf("f32");
    const refused = async (
      gradientStrides: unknown,
      kind: typeof TypeError | typeof RangeError,
      message: string,
    ) =>
      void await assertRejects(
        () =>
          planAttentionBackward(gpu, inputs, {
            gradientStrides: gradientStrides as GradientStrides,
          }),
        kind,
        message,
      );
    const shape = [2, 11, 4, 8];
    await refused({ lse: {} }, TypeError, "gradientStrides");
    await refused(
      { query: [1, 2, 3] },
      TypeError,
      "gradientStrides.query must be { shape, strides, offset }",
    );
    await refused(
      { key: { shape, strides: [352, 32, 8] } },
      TypeError,
      "gradientStrides.key.shape must be [2, 14, 2, 8] or [28, 2, 8]",
    );
    await refused(
      { query: { shape, strides: [352, 32] } },
      TypeError,
      "gradientStrides.query.strides must be an array of 4 strides",
    );
    await refused(
      { query: { shape, strides: [352, 32, 7] } },
      RangeError,
      "gradientStrides.query.strides[2] must be >= 8, so that rows which are written do not overlap",
    );
    using plan = await planAttentionBackward(gpu, inputs, {
      gradientStrides: { query: { shape, strides: [400, 32, 8] } },
    });
    assertEquals(plan.problem, attentionProblem(inputs));
  },
);
