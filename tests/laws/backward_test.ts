/**
 * Laws of gradients that need no oracle.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { AttentionGradients, HostTensor } from "../../mod.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  forwardBackward,
  type HostUpstream,
  normals,
  rowsOf,
} from "../support/gradients.ts";

type Gradients = AttentionGradients<HostTensor>;

const NAMES = ["query", "key", "value"] as const;
const [Q, K, HEADS, KV_HEADS, DIM] = [21, 37, 4, 2, 16];

function inputs(seed = 1, batch = 1, kvHeads = KV_HEADS) {
  return {
    query: normals([batch, Q, HEADS, DIM], seed),
    key: normals([batch, K, kvHeads, DIM], seed + 1),
    value: normals([batch, K, kvHeads, DIM], seed + 2),
  };
}

function upstream(seed = 7, batch = 1): Required<HostUpstream> {
  return {
    outputGradient: normals([batch, Q, HEADS, DIM], seed),
    lseGradient: normals([batch, Q, HEADS], seed + 1),
  };
}

const times = ({ data, shape }: HostTensor, factor: number): HostTensor => ({
  data: Float32Array.from(data, (x) => x * factor),
  shape,
});

function assertSame(actual: Gradients, expected: Gradients): void {
  for (const name of NAMES) {
    assertEquals([...actual[name].data], [...expected[name].data], name);
  }
}

/** Within some roundings of the largest element. */
function assertNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
): void {
  assertEquals(actual.length, expected.length);
  let [largest, error] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    error = Math.max(error, Math.abs(actual[i] - expected[i]));
  }
  assert(error <= 64 * 2 ** -24 * largest, `${what}: ${error} of ${largest}`);
}

gpuTest("gradients are linear in what the loss sends back", async (_, gpu) => {
  const given = { ...inputs(), causal: true };
  const [one, other] = [upstream(7), upstream(70)];
  const first = await forwardBackward(gpu, given, one);
  // A factor of two is exact in every rounding.
  const doubled = await forwardBackward(gpu, given, {
    outputGradient: times(one.outputGradient, 2),
    lseGradient: times(one.lseGradient, 2),
  });
  for (const name of NAMES) {
    assertEquals([...doubled[name].data], [...times(first[name], 2).data]);
  }
  const second = await forwardBackward(gpu, given, other);
  const plus = (a: HostTensor, b: HostTensor) => ({
    data: Float32Array.from(a.data, (x, i) => x + b.data[i]),
    shape: a.shape,
  });
  const sum = await forwardBackward(gpu, given, {
    outputGradient: plus(one.outputGradient, other.outputGradient),
    lseGradient: plus(one.lseGradient, other.lseGradient),
  });
  for (const name of NAMES) {
    assertNear(sum[name].data, plus(first[name], second[name]).data, name);
  }
});

gpuTest("gradients repeat bit by bit", async (_, gpu) => {
  const given = { ...inputs(), causal: true };
  const once = await forwardBackward(gpu, given, upstream());
  assertSame(await forwardBackward(gpu, given, upstream()), once);
});

gpuTest(
  "gradients of a sequence do not depend on its batch",
  async (_, gpu) => {
    const given = inputs(1, 3);
    const back = upstream(7, 3);
    const all = await forwardBackward(gpu, { ...given, causal: true }, back);
    for (const b of [0, 1, 2]) {
      const cut = (tensor: HostTensor) => rowsOf(tensor, [b, b + 1]);
      const alone = await forwardBackward(gpu, {
        query: cut(given.query),
        key: cut(given.key),
        value: cut(given.value),
        causal: true,
      }, {
        outputGradient: cut(back.outputGradient),
        lseGradient: cut(back.lseGradient),
      });
      assertSame(
        { query: cut(all.query), key: cut(all.key), value: cut(all.value) },
        alone,
      );
    }
  },
);

gpuTest(
  "gradients of ragged sequences are those of dense ones",
  async (_, gpu) => {
    const given = inputs(1, 2);
    const back = upstream(7, 2);
    const dense = await forwardBackward(gpu, { ...given, causal: true }, back);
    const flat = ({ data, shape }: HostTensor) => ({
      data,
      shape: [shape[0] * shape[1], ...shape.slice(2)],
    });
    const ragged = await forwardBackward(gpu, {
      query: flat(given.query),
      key: flat(given.key),
      value: flat(given.value),
      cuSeqlens: [0, Q, 2 * Q],
      cuSeqlensKey: [0, K, 2 * K],
      causal: true,
    }, {
      outputGradient: flat(back.outputGradient),
      lseGradient: flat(back.lseGradient),
    });
    assertSame(ragged, dense);
    assertEquals(ragged.key.shape, [2 * K, KV_HEADS, DIM]);
  },
);

gpuTest(
  "gradients of paged keys are those of keys in order",
  async (_, gpu) => {
    const given = inputs();
    const back = upstream();
    const plain = await forwardBackward(gpu, { ...given, causal: true }, back);
    const blocks = Uint32Array.of(7, 2, 5, 9, 3, 8, 1, 0, 4, 6);
    const paged = (tensor: HostTensor): HostTensor => {
      const width = KV_HEADS * DIM;
      const data = new Float32Array(10 * 4 * width).fill(NaN);
      for (let j = 0; j < K; j++) {
        const at = (blocks[Math.floor(j / 4)] * 4 + j % 4) * width;
        data.set(tensor.data.subarray(j * width, (j + 1) * width), at);
      }
      return { data, shape: [10, 4, KV_HEADS, DIM] };
    };
    const found = await forwardBackward(gpu, {
      query: given.query,
      key: paged(given.key),
      value: paged(given.value),
      blockTable: blocks,
      keyLengths: [K],
      causal: true,
    }, back);
    assertSame(found, plain);
    assertEquals(found.value.shape, [K, KV_HEADS, DIM]);
  },
);

gpuTest(
  "gradients of heads before tokens, and of qkv, are the same",
  async (_, gpu) => {
    const keys = normals([1, Q, KV_HEADS, DIM], 5);
    const values = normals([1, Q, KV_HEADS, DIM], 6);
    const given = { query: inputs().query, key: keys, value: values };
    const back = upstream();
    const plain = await forwardBackward(gpu, { ...given, causal: true }, back);
    const swapped = ({ data, shape }: HostTensor): HostTensor => {
      const [, tokens, heads, dim = 1] = shape;
      const out = new Float32Array(data.length);
      for (let t = 0; t < tokens; t++) {
        for (let h = 0; h < heads; h++) {
          for (let c = 0; c < dim; c++) {
            out[(h * tokens + t) * dim + c] = data[(t * heads + h) * dim + c];
          }
        }
      }
      return { data: out, shape: [1, heads, tokens, ...shape.slice(3)] };
    };
    const heads = await forwardBackward(gpu, {
      query: swapped(given.query),
      key: swapped(given.key),
      value: swapped(given.value),
      layout: "bhsd",
      causal: true,
    }, {
      outputGradient: swapped(back.outputGradient),
      lseGradient: swapped(back.lseGradient),
    });
    assertSame(heads, {
      query: swapped(plain.query),
      key: swapped(plain.key),
      value: swapped(plain.value),
    });
    const packed = new Float32Array(Q * (HEADS + 2 * KV_HEADS) * DIM);
    for (let t = 0; t < Q; t++) {
      let at = t * (HEADS + 2 * KV_HEADS) * DIM;
      for (
        const [tensor, count] of [[given.query, HEADS], [keys, KV_HEADS], [
          values,
          KV_HEADS,
        ]] as const
      ) {
        packed.set(
          tensor.data.subarray(t * count * DIM, (t + 1) * count * DIM),
          at,
        );
        at += count * DIM;
      }
    }
    const qkv = await forwardBackward(gpu, {
      qkv: { data: packed, shape: [1, Q, HEADS + 2 * KV_HEADS, DIM] },
      kvHeads: KV_HEADS,
      causal: true,
    }, back);
    assertSame(qkv, plain);
    assertEquals(qkv.key.shape, [1, Q, KV_HEADS, DIM]);
  },
);

gpuTest(
  "gradients of shared heads are the sums of those of repeated ones",
  async (_, gpu) => {
    const given = inputs();
    const back = upstream();
    const shared = await forwardBackward(gpu, { ...given, causal: true }, back);
    const group = HEADS / KV_HEADS;
    const repeat = ({ data }: HostTensor): HostTensor => ({
      data: Float32Array.from({ length: K * HEADS * DIM }, (_, n) => {
        const [c, h, t] = [
          n % DIM,
          Math.floor(n / DIM) % HEADS,
          Math.floor(n / DIM / HEADS),
        ];
        return data[(t * KV_HEADS + Math.floor(h / group)) * DIM + c];
      }),
      shape: [1, K, HEADS, DIM],
    });
    const apart = await forwardBackward(gpu, {
      query: given.query,
      key: repeat(given.key),
      value: repeat(given.value),
      causal: true,
    }, back);
    assertEquals([...apart.query.data], [...shared.query.data]);
    for (const name of ["key", "value"] as const) {
      const sums = new Float64Array(shared[name].data.length);
      apart[name].data.forEach((x, n) => {
        const [c, h, t] = [
          n % DIM,
          Math.floor(n / DIM) % HEADS,
          Math.floor(n / DIM / HEADS),
        ];
        sums[(t * KV_HEADS + Math.floor(h / group)) * DIM + c] += x;
      });
      assertNear(shared[name].data, sums, name);
    }
  },
);

gpuTest(
  "gradients through merged parts are those of the whole",
  async (_, gpu) => {
    const given = inputs();
    const back = upstream();
    const whole = await forwardBackward(gpu, given, back);
    const middle = 16;
    const ranges = [[0, middle], [middle, K]] as const;
    const halves = ranges.map((range) => ({
      query: given.query,
      key: rowsOf(given.key, range, 1),
      value: rowsOf(given.value, range, 1),
    }));
    const sent: HostTensor["data"] = back.outputGradient.data;
    const query = new Float64Array(whole.query.data.length);
    for (const [i, half] of halves.entries()) {
      const part = await forwardBackward(gpu, half, back);
      // O = sum w O_i and L = ln sum exp(L_i), with w = exp(L_i - L).
      const outputGradient = sent.map((x, n) => {
        const row = Math.floor(n / DIM);
        return x * Math.exp(part.lse.data[row] - whole.lse.data[row]);
      });
      const lseGradient = part.lse.data.map((lse, row) => {
        let dot = back.lseGradient.data[row];
        for (let c = 0; c < DIM; c++) {
          const n = row * DIM + c;
          dot += sent[n] * (part.output.data[n] - whole.output.data[n]);
        }
        return dot * Math.exp(lse - whole.lse.data[row]);
      });
      const through = await forwardBackward(gpu, half, {
        outputGradient: {
          data: Float32Array.from(outputGradient),
          shape: back.outputGradient.shape,
        },
        lseGradient: {
          data: Float32Array.from(lseGradient),
          shape: back.lseGradient.shape,
        },
      });
      through.query.data.forEach((x, n) => query[n] += x);
      for (const name of ["key", "value"] as const) {
        const expected = rowsOf(whole[name], ranges[i], 1);
        assertNear(through[name].data, expected.data, name);
      }
    }
    assertNear(whole.query.data, query, "query");
  },
);

gpuTest("parts of the loops add up to the whole", async (_, gpu) => {
  const given = { ...inputs(), causal: true };
  const whole = await forwardBackward(gpu, given, upstream());
  for (const splits of [2, 5]) {
    const parts = await forwardBackward(gpu, given, upstream(), { splits });
    for (const name of NAMES) {
      assertNear(parts[name].data, whole[name].data, `${name} of ${splits}`);
    }
  }
});

gpuTest(
  "rows and keys that see nothing neither give nor take",
  async (_, gpu) => {
    const given = inputs();
    const back = upstream();
    // Queries 0 to 6 see no key, and keys from 14 on are seen by none, of which
    // some stand in a step with others.
    const options = { causal: true, queryOffset: -7 };
    const clean = await forwardBackward(gpu, { ...given, ...options }, back);
    const zeros = (tensor: HostTensor, range: readonly [number, number]) =>
      assert(rowsOf(tensor, range, 1).data.every((x) => x === 0));
    zeros(clean.query, [0, 7]);
    zeros(clean.key, [14, K]);
    zeros(clean.value, [14, K]);
    assert(clean.query.data.some((x) => x !== 0));
    const soiled = (
      tensor: HostTensor,
      [from, end]: readonly [number, number],
    ): HostTensor => {
      const width = tensor.data.length / tensor.shape[1];
      const data = Float32Array.from(tensor.data);
      data.fill(NaN, from * width, end * width);
      return { data, shape: tensor.shape };
    };
    const soil = {
      query: soiled(given.query, [0, 7]),
      key: soiled(given.key, [14, K]),
      value: soiled(given.value, [14, K]),
      ...options,
    };
    const upstreams = {
      outputGradient: soiled(back.outputGradient, [0, 7]),
      lseGradient: soiled(back.lseGradient, [0, 7]),
    };
    for (const scoreGradients of ["stored", "recomputed"] as const) {
      const dirty = await forwardBackward(gpu, soil, upstreams, {
        scoreGradients,
      });
      // Forward adds a step that has NaN key by key, so not bit by bit.
      for (const name of NAMES) {
        assertNear(
          dirty[name].data,
          clean[name].data,
          `${name}, ${scoreGradients}`,
        );
      }
    }
  },
);
