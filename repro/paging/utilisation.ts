/**
 * How much of a cache's memory holds tokens: reserved chunks against blocks.
 *
 * @module
 */

import { colours, doublings, fractions, PANEL, panels } from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import { serve, type Served } from "./serving.ts";
import {
  PagedMemory,
  type Reservation,
  ReservedMemory,
} from "./serving_memory.ts";
import { lengthTrace, WORKLOADS } from "../trace.ts";

const MAX_LENGTH = 2048;
const CAPACITY = 2 ** 14;
const REQUESTS = 1000;
const RESERVATIONS: readonly Reservation[] = ["max", "pow2", "oracle"];
const BLOCK_SIZES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** What the experiment counts. */
export interface UtilisationData {
  /** Each policy; `paged` has blocks of 16 tokens. */
  readonly policies: Readonly<Record<Reservation | "paged", Served>>;
  /** Paged, by block size. */
  readonly blockSizes: readonly {
    readonly blockSize: number;
    readonly served: Served;
    /** What would be written if half a block a request were lost. */
    readonly expected: number;
  }[];
}

/** Serves a trace from each kind of memory. */
export function countUtilisation(
  { requests = REQUESTS, blockSizes = BLOCK_SIZES, seed = 1 }: {
    requests?: number;
    blockSizes?: readonly number[];
    seed?: number;
  } = {},
): UtilisationData {
  const trace = lengthTrace({
    seed,
    requests,
    ...WORKLOADS.conversations,
    maxLength: MAX_LENGTH,
  });
  const reserved = (reservation: Reservation) =>
    serve(
      trace,
      new ReservedMemory({
        capacity: CAPACITY,
        reservation,
        maxLength: MAX_LENGTH,
      }),
    );
  const paged = (blockSize: number) => {
    const memory = new PagedMemory({ capacity: CAPACITY, blockSize });
    const served = serve(trace, memory);
    const length = served.tokens / served.running;
    const expected = length / (length + (blockSize - 1) / 2);
    return { blockSize, served, expected };
  };
  const [max, pow2, oracle] = RESERVATIONS.map(reserved);
  return {
    policies: { max, pow2, oracle, paged: paged(16).served },
    blockSizes: blockSizes.map(paged),
  };
}

const NAMES: Readonly<Record<Reservation | "paged", string>> = {
  max: "reserve the longest (2048)",
  pow2: "reserve a power of two",
  oracle: "reserve what it will be",
  paged: "paged, blocks of 16",
};

function chartOf({ policies, blockSizes }: UtilisationData): Chart {
  const parts = ["written", "reserved", "internal", "external"] as const;
  const bars = Object.entries(policies).flatMap(([policy, { use }]) =>
    parts.map((part, order) => ({ policy, part, order, share: use[part] }))
  );
  const lost = "half a block lost a request";
  const measured = blockSizes.flatMap(({ blockSize, served }) => [
    { blockSize, share: served.use.ofTaken, of: "blocks in use" },
    { blockSize, share: served.use.written, of: "all memory" },
  ]);
  const expected = blockSizes.map(({ blockSize, expected }) => (
    { blockSize, share: expected, of: lost }
  ));
  const order = [lost, "blocks in use", "all memory"];
  const encoding = {
    x: doublings(
      "blockSize",
      "tokens of a block",
      blockSizes.map(({ blockSize }) => blockSize),
    ),
    y: fractions("share"),
    color: {
      ...colours("of", order),
      scale: { domain: order, range: ["#c9ced4", "#0072b2", "#d55e00"] },
    },
  };
  return panels({
    title: "What token slots are used for",
    subtitle: "of all memory, mean over steps",
    marks: {
      ...PANEL,
      data: { values: bars },
      mark: "bar",
      encoding: {
        x: {
          field: "policy",
          type: "nominal",
          title: null,
          sort: Object.keys(policies),
          axis: { labelAngle: 0 },
        },
        y: fractions("share"),
        color: {
          ...colours("part", parts),
          scale: {
            domain: parts,
            range: ["#009e73", "#e69f00", "#d55e00", "#9aa5b1"],
          },
        },
        order: { field: "order" },
      },
    },
  }, {
    title: "Paged, by block size",
    subtitle: "slots that hold a token, of those in",
    marks: {
      ...PANEL,
      // What is expected lies below, broad enough to be seen.
      layer: [
        {
          data: { values: expected },
          mark: { type: "line", strokeWidth: 9, clip: true },
        },
        { data: { values: measured }, mark: { type: "line", point: true } },
      ].map((layer) => ({ ...layer, encoding })),
    },
  });
}

function reportOf(data: UtilisationData): Report {
  const { max, pow2, oracle, paged } = data.policies;
  const cells = ({ use, running, preemptions }: Served) => [
    percent(use.written),
    percent(use.reserved),
    percent(use.internal),
    percent(use.external),
    percent(use.ofTaken),
    running.toFixed(1),
    preemptions,
  ];
  const written = [max, pow2, oracle, paged].map(({ use }) => use.written);
  return {
    title: "Utilisation: reservation against paging (PagedAttention)",
    paper: "20.4-38.2 % of memory held tokens before, 96.3 % with vLLM",
    setting: [
      `${REQUESTS} requests with log-normal prompts (mean 161) and outputs ` +
      `(mean 338), ${MAX_LENGTH} tokens at most, in ${CAPACITY} token slots; ` +
      "all wait from the start, each begins when memory lets it.",
      "Reservations come from a buddy allocator. Paged keeps 1 % of the " +
      "blocks free and preempts the last to arrive.",
    ],
    tables: [{
      title: "Token slots, mean over steps",
      columns: [
        "policy",
        "written",
        "reserved",
        "internal",
        "external",
        "written of taken",
        "running",
        "preempted",
      ],
      rows: (Object.keys(NAMES) as (keyof typeof NAMES)[]).map((policy) => [
        NAMES[policy],
        ...cells(data.policies[policy]),
      ]),
    }, {
      title: "Paged, by block size",
      columns: [
        "tokens a block",
        "written of taken",
        "half a block lost",
        "written",
        "running",
      ],
      rows: data.blockSizes.map(({ blockSize, served, expected }) => [
        blockSize,
        percent(served.use.ofTaken),
        percent(expected),
        percent(served.use.written),
        served.running.toFixed(1),
      ]),
    }],
    checks: [
      {
        claim: "more of memory is written in the order max < pow2 < oracle < " +
          "paged",
        holds: written.every((share, i) => i === 0 || share > written[i - 1]),
      },
      {
        claim: "in blocks of 16, at least 96.3 % of all memory is written",
        holds: paged.use.written >= 0.963,
      },
      {
        claim: "blocks in use lose half a block a request, within a point",
        holds: data.blockSizes.every(({ served, expected }) =>
          Math.abs(served.use.ofTaken - expected) < 0.01
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** PagedAttention's figure 2. */
export const utilisation: Experiment = {
  count: () => reportOf(countUtilisation()),
};
