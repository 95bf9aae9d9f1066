/** Scores of blocks as a gate of their own: the one that a learned one imitates. */

import { assert, assertEquals } from "@std/assert";
import {
  attention as oracle,
  errorBound,
  GATES,
} from "../../../reference/mod.ts";
import { attention } from "../../../mod.ts";
import { blockMaskFromScores } from "../../../src/ops/mod.ts";
import { SOFTWARE_TILES } from "../../../src/ops/attention/variants/tiles.ts";
import { HEADS, inputs, upload } from "../../ops/attention/tensors.ts";
import { gpuTest } from "../../support/gpu.ts";

/** Compiled fast. */
const tiles = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};
const SIZES = { batch: 2, queries: 64, keys: 64 };
const BLOCK = 8;

gpuTest(
  "blocks that attention itself goes to lose what their mass says, at most",
  async (_, gpu) => {
    const host = inputs(SIZES);
    // Sharper than noise, so that blocks differ.
    const query = { ...host.query, data: host.query.data.map((x) => 3 * x) };
    const options = { ...host, query, causal: true, returnLse: true, tiles };
    using device = upload(gpu, { ...host, query });
    const dense = await attention(gpu, options);
    const { output, lse, blockScores } = await attention(gpu, {
      query: device.query,
      key: device.key,
      value: device.value,
      causal: true,
      returnLse: true,
      tiles,
      blockScores: { block: BLOCK },
    });
    const geometry = {
      queries: 64,
      keys: 64,
      queryBlock: BLOCK,
      keyBlock: BLOCK,
      batch: 2,
      heads: HEADS.queryHeads,
    };
    const problem = {
      ...HEADS,
      query: query.data,
      key: host.key.data,
      value: host.value.data,
      batch: 2,
      queryLength: 64,
      keyLength: 64,
      mask: (_b: number, _h: number, q: number, k: number) => k <= q,
    };
    const float64 = oracle(problem);
    const off = errorBound(problem, { keys: 4, gate: GATES.wgsl });
    const most = [...host.value.data].reduce(
      (a, x) => Math.max(a, Math.abs(x)),
      0,
    );
    const masses: number[] = [];
    for (const topK of [1, 2, 4, 8]) {
      using blockMask = await blockMaskFromScores(gpu, blockScores!, geometry, {
        topK,
      });
      const sparse = await attention(gpu, { ...options, blockMask });
      if (topK === 8) assertEquals(sparse, dense);
      let all = 0;
      sparse.lse!.data.forEach((own, row) => {
        const mass = Math.exp(own - float64.lse[row]);
        all += mass;
        // The mass is the device's, off by a factor of exp(off.lse) at most.
        const bound = 2 * (1 - mass) * most + off.output + 4 * most * off.lse;
        for (let at = row * 8; at < row * 8 + 8; at++) {
          const error = Math.abs(sparse.output.data[at] - float64.output[at]);
          assert(error <= bound, `${error} of ${bound}, of ${topK} blocks`);
        }
      });
      masses.push(all / float64.lse.length);
    }
    // The highest block of a row has more than its even share, 1 of 1 to 8.
    const even = [1, 2, 3, 4, 5, 6, 7, 8].reduce((sum, n) => sum + 1 / n, 0) /
      8;
    assert(masses[0] > even, `${masses}, ${even}`);
    masses.slice(1).forEach((mass, i) => assert(mass > masses[i], `${masses}`));
    for (const one of [output, lse!, blockScores!]) one.destroy();
  },
);
