/**
 * Contiguous virtual tensors with pages mapped on demand, simulated: map calls
 * on and off the critical path, and waste by page size. Beside it what is left
 * without virtual memory: contiguous extents that move as they grow.
 *
 * @module
 */

import { colours, fractions, numbers, PANEL, panels } from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import {
  EXTENT_REQUESTS,
  type ExtentRun,
  type Placing,
  runExtents,
} from "./extent_service.ts";
import {
  type MapperRun,
  REQUESTS,
  runMapper,
  SLOTS,
} from "./mapper_service.ts";
import { pagingTimes } from "./paging_times.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE_BYTES: readonly number[] = [
  64 * KIB,
  128 * KIB,
  256 * KIB,
  512 * KIB,
  1 * MIB,
  2 * MIB,
];
const GIB = 1024 * MIB;
const SCARCE_BYTES: readonly number[] = [2 * GIB, 1.5 * GIB];

const PLACINGS: readonly Placing[] = ["page", "powerOfTwo", "max", "blocks"];

/** What the experiment counts. */
export interface VattentionData {
  /** By page size, sync and async. */
  readonly runs: readonly MapperRun[];
  /** Pages of 64 KiB, async, in less memory. */
  readonly scarce: readonly MapperRun[];
  /** Extents by growth policy, and blocks. */
  readonly extents: readonly ExtentRun[];
}

function countMapping(): VattentionData {
  return {
    runs: PAGE_BYTES.flatMap((pageBytes) =>
      (["sync", "async"] as const).map((mapping) =>
        runMapper({ pageBytes, mapping })
      )
    ),
    scarce: SCARCE_BYTES.map((memoryBytes) =>
      runMapper({ pageBytes: 64 * KIB, memoryBytes })
    ),
    extents: PLACINGS.map((placing) => runExtents(placing)),
  };
}

const pageName = (bytes: number) =>
  bytes < MIB ? `${bytes / KIB} KiB` : `${bytes / MIB} MiB`;

function chartOf({ runs }: VattentionData): Chart {
  const pages = PAGE_BYTES.map(pageName);
  const calls = runs.flatMap((run) => {
    const page = pageName(run.pageBytes);
    const { mapping } = run;
    return [
      { page, mapping, part: "prompt waits", calls: run.promptCalls },
      { page, mapping, part: "decode waits", calls: run.decodeCalls },
      {
        page,
        mapping,
        part: "in the background",
        calls: run.mapCalls - run.promptCalls - run.decodeCalls,
      },
    ];
  });
  const waste = runs.filter(({ mapping }) => mapping === "sync")
    .flatMap((run) => [
      {
        page: pageName(run.pageBytes),
        of: "pages of the tokens",
        waste: run.neededWaste,
      },
      {
        page: pageName(run.pageBytes),
        of: "with those left by others",
        waste: run.waste,
      },
    ]);
  const x = {
    field: "page",
    type: "ordinal",
    sort: pages,
    title: "page",
    axis: { labelAngle: 0 },
  };
  return panels({
    title: "Map calls (simulated)",
    subtitle: "left bar: as a step needs; right bar: one page ahead",
    marks: {
      ...PANEL,
      data: { values: calls },
      mark: "bar",
      encoding: {
        x,
        xOffset: { field: "mapping", sort: ["sync", "async"] },
        y: numbers("calls", null, { axis: { format: "~s" } }),
        color: colours("part", [
          "prompt waits",
          "decode waits",
          "in the background",
        ]),
      },
    },
  }, {
    title: "Waste by page size (simulated)",
    subtitle: "mapped bytes without a token",
    marks: {
      ...PANEL,
      data: { values: waste },
      mark: { type: "line", point: true },
      encoding: {
        x,
        y: fractions("waste"),
        color: colours("of", [
          "pages of the tokens",
          "with those left by others",
        ]),
      },
    },
  });
}

const PLACING_NAMES: Readonly<Record<Placing, string>> = {
  page: "extent, a block at a time",
  powerOfTwo: "extent, a power of two",
  max: "extent, the longest (2048)",
  blocks: "blocks of 16, paged",
};

/** Waste never falls where pages grow. */
function rising(values: readonly number[]): boolean {
  return values.every((value, i) => i === 0 || value >= values[i - 1]);
}

function reportOf(data: VattentionData): Report {
  const { runs, scarce, extents } = data;
  const [page, powerOfTwo, max, blocks] = extents;
  const sync = runs.filter(({ mapping }) => mapping === "sync");
  const async = runs.filter(({ mapping }) => mapping === "async");
  return {
    title: "Pages mapped on demand (vAttention), simulated",
    paper: "up to 1.97x the decode speed of vLLM by unchanged contiguous " +
      "kernels, mapping hidden behind compute; pages of 64 KiB to 2 MiB",
    setting: [
      "A simulation: WebGPU has no virtual memory. The simulator maps nothing " +
      "and counts every call.",
      `${REQUESTS} requests of conversations' lengths (2048 at most) in ` +
      `${SLOTS} slots; 32 layers, 4 kv heads of 128 float16 elements: 64 KiB ` +
      "a token in 64 tensors; 8 GiB of pages.",
      "Sync maps as a step needs, async one page ahead. Eager: if pages were " +
      "not kept for the next request.",
      `Extents: ${EXTENT_REQUESTS} such requests in 16384 token slots, all ` +
      "waiting from the start, 1 % of the blocks kept free; all extents are " +
      "moved together where that makes room, else the last to begin gives " +
      "its own up. No simulation: the library's own allocators.",
    ],
    tables: [{
      title: "Driver calls",
      columns: [
        "page, mapping",
        "tokens",
        "map calls",
        "prompt waits",
        "decode waits",
        "unmapped",
        "eager",
      ],
      rows: runs.map((run) => [
        `${pageName(run.pageBytes)}, ${run.mapping}`,
        run.tokensPerPage,
        run.mapCalls,
        run.promptCalls,
        run.decodeCalls,
        run.unmapCalls,
        run.eagerCalls,
      ]),
    }, {
      title: "Waste: mapped bytes of active requests without a token",
      columns: ["page", "pages of the tokens", "sync", "async"],
      rows: sync.map((run, i) => [
        pageName(run.pageBytes),
        percent(run.neededWaste),
        percent(run.waste),
        percent(async[i].waste),
      ]),
    }, {
      title: "Pages of 64 KiB, async, by memory",
      columns: [
        "memory",
        "map calls",
        "prompt waits",
        "decode waits",
        "waste",
      ],
      rows: [async[0], ...scarce].map((run) => [
        `${run.memoryBytes / GIB} GiB`,
        run.mapCalls,
        run.promptCalls,
        run.decodeCalls,
        percent(run.waste),
      ]),
    }, {
      title: "Without virtual memory: token slots, mean over steps, and moves",
      columns: [
        "place",
        "written",
        "reserved",
        "internal",
        "external",
        "running",
        "moved/token",
        "compactions",
        "preempted",
      ],
      rows: extents.map(({ placing, served, movedPerToken, compactions }) => [
        PLACING_NAMES[placing],
        percent(served.use.written),
        percent(served.use.reserved),
        percent(served.use.internal),
        percent(served.use.external),
        served.running.toFixed(1),
        movedPerToken.toFixed(2),
        compactions,
        served.preemptions,
      ]),
    }],
    checks: [
      {
        claim:
          "async, where memory is not scarce: no decode step waits for a call",
        holds: async.every(({ decodeCalls }) => decodeCalls === 0),
      },
      {
        claim: "sync: decode steps wait wherever a sequence outgrows a page " +
          "shorter than the longest",
        holds: sync.every(({ decodeCalls, tokensPerPage }) =>
          decodeCalls > 0 || tokensPerPage >= 2048
        ),
      },
      {
        claim: "deferred reclamation maps less than giving pages back at once",
        holds: runs.every((run) => run.mapCalls < run.eagerCalls),
      },
      {
        claim: "waste rises with the page size",
        holds: rising(sync.map(({ neededWaste }) => neededWaste)),
      },
      {
        claim: "extents move the less the more they take ahead, and what " +
          "takes the longest at once never moves",
        holds: page.movedPerToken > powerOfTwo.movedPerToken &&
          powerOfTwo.movedPerToken > 0 && max.movedPerToken === 0,
      },
      {
        claim: "without virtual memory, blocks hold more tokens than extents " +
          "of any policy, and move none",
        holds:
          [page, powerOfTwo, max].every(({ served }) =>
            served.use.written < blocks.served.use.written
          ) && blocks.movedPerToken === 0,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** vAttention's tables of calls and page sizes. */
export const vattention: Experiment = {
  count: () => reportOf(countMapping()),
  timing: pagingTimes,
};
