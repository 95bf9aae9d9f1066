/** Ready mods to begin from. @module */

import { DEFAULT_SETTINGS, type Settings } from "./settings.ts";

/** A ready mod. */
export interface Ready {
  /** Its name in addresses. */
  readonly id: string;
  /** Its name for people. */
  readonly title: string;
  /** What it is for, in a line. */
  readonly about: string;
  /** The code. */
  readonly code: string;
  /** Sizes that show it well, where the usual ones do not. */
  readonly settings?: Partial<Settings>;
}

/** Masks of the library, masks of one's own, scores, and a mistake. */
export const GALLERY: readonly Ready[] = [
  {
    id: "causal",
    title: "Causal",
    about: "Every query sees itself and what came before.",
    code: `causal()`,
  },
  {
    id: "window",
    title: "Sliding window",
    about: "The last so many tokens (Mistral, Gemma).",
    code: `[causal(), slidingWindow({ left: 31 })]`,
  },
  {
    id: "sinks",
    title: "Sinks and window",
    about: "The first tokens stay in sight of a window (StreamingLLM).",
    code: `sinkWindow({ sinks: 6, window: 24 })`,
  },
  {
    id: "documents",
    title: "Documents",
    about: "Several texts packed into one sequence; none sees another.",
    code: `// Where each begins, and where the last ends.
const starts = [0, 0.16, 0.44, 0.55, 0.85, 1].map(
  (part) => Math.round(part * keys),
);

[causal(), documents(starts)]`,
  },
  {
    id: "prefix",
    title: "Prefix LM",
    about: "A prompt that is seen whole, then causal.",
    code: `prefixLm(keys * 3 / 8)`,
  },
  {
    id: "dilated",
    title: "Dilated",
    about: "Every fourth token of a wide window (LongNet).",
    code: `[causal(), dilated({ window: 64, dilation: 4 })]`,
  },
  {
    id: "blocks",
    title: "Block diagonal",
    about: "Chunks that see only themselves.",
    code: `blockDiagonal(24)`,
  },
  {
    id: "tree",
    title: "Draft tree",
    about:
      "Speculative drafts: a token sees its ancestors (SpecInfer, Medusa).",
    code:
      `// 32 drafts behind a text: a tree whose nodes have two or three children.
const drafts = 32;
const parents = Int32Array.from(
  { length: drafts },
  (_, node) => (node === 0 ? -1 : Math.floor((node - 1) / 2.5)),
);

tree(parents, keys - drafts)`,
    settings: { queries: 32, keys: 64, tile: 8 },
  },
  {
    id: "neighbours",
    title: "Neighbours in an image",
    about: "Tokens are pixels, 16 a row; each sees those within 3 (NATTEN).",
    code: `// A pixel's row and column are its position divided, and the rest.
const width = 16;

maskMod("neighbours", ({ query, key }) => {
  const rows = query.div(width).sub(key.div(width)).abs();
  const columns = query.rem(width).sub(key.rem(width)).abs();
  return rows.le(3).and(columns.le(3));
})`,
    settings: { queries: 256, keys: 256 },
  },
  {
    id: "tiles",
    title: "Sliding tiles of a video",
    about:
      "Frames cut into tiles that see the tiles around them, then text: no tile is mixed (STA).",
    code: `slidingTile({
  canvas: [4, 28], // frames, pixels a frame
  tile: 4,
  kernel: [4, 12],
  text: 16,
})`,
  },
  {
    id: "temporal",
    title: "Temporal head",
    about: "A pixel sees itself in every frame (Sparse VideoGen).",
    code: `temporalHead({ prompt: 16, frame: 28, width: 3 })`,
  },
  {
    id: "diffusion",
    title: "Block diffusion",
    about:
      "Noised blocks beside the clean text that comes before each, in one pass (BD3-LM).",
    code: `blockDiffusion({ length: keys / 2, block: 16 })`,
  },
  {
    id: "strided",
    title: "Strided, by head",
    about:
      "Even heads see what is near, odd ones every eighth (Sparse Transformer).",
    code: `const strided = maskMod("strided", ({ head, query, key }) => {
  const near = query.sub(key).lt(16);
  const far = query.sub(key).rem(8).eq(0);
  return head.rem(2).eq(0).select(near, far);
});

[causal(), strided]`,
    settings: { head: 1 },
  },
  {
    id: "random",
    title: "Random blocks",
    about: "Global tokens, a window, and chance (BigBird), read from a table.",
    code: `// Which blocks of 16 keys each block of 16 queries sees besides.
const size = 16;
const blocks = Math.ceil(keys / size);
let state = 5;
const chance = Uint8Array.from({ length: blocks * blocks }, () => {
  state = (state * 1103515245 + 12345) % 2 ** 31;
  return state % 100 < 22 ? 1 : 0;
});
const table = capture(chance, { shape: [blocks, blocks], name: "chance" });
const random = maskMod(
  "random",
  ({ query, key }) => table.at(query.div(size), key.div(size)),
);
const globals = maskMod(
  "globals",
  ({ query, key }) => query.lt(8).or(key.lt(8)),
);

or(random, globals, slidingWindow({ left: 12, right: 12 }))`,
  },
  {
    id: "alibi",
    title: "ALiBi",
    about: "Distance costs, each head at its own slope.",
    code: `const slopes = Float32Array.from(
  { length: heads },
  (_, head) => 2 ** (-8 * (head + 1) / heads),
);

[causal(), alibi(slopes)]`,
  },
  {
    id: "softcap",
    title: "Softcap and window",
    about: "Scores bent towards a limit by tanh (Gemma 2).",
    code: `[causal(), slidingWindow({ left: 47 }), softcap(2)]`,
  },
  {
    id: "relative",
    title: "Relative bias",
    about: "A learned number for each distance (T5).",
    code: `// Near tokens of one side gain, far ones lose; heads differ.
const reach = 48;
const width = 2 * reach + 1;
const table = Float32Array.from({ length: heads * width }, (_, i) => {
  const distance = (i % width) - reach;
  return Math.cos(distance / (4 + Math.floor(i / width))) -
    Math.abs(distance) / 24;
});

relativeBias(table, [heads, width])`,
  },
  {
    id: "score",
    title: "A score of one's own",
    about: "Any expression of score and positions.",
    code: `// Recent tokens gain, and every sixteenth stays in mind.
const recency = scoreMod("recency", ({ score, query, key }) => {
  const distance = query.sub(key).toFloat();
  const kept = key.rem(16).eq(0).select(float(2), 0);
  return score.add(distance.mul(-0.05).exp().mul(3)).add(kept);
});

[causal(), recency]`,
  },
  {
    id: "mistake",
    title: "A mistake",
    about:
      "JavaScript's ? : sees no value yet: the library says what to write.",
    code: `maskMod(
  "mistake",
  ({ query, key }) => key.lt(8) ? key.le(query) : key.eq(query),
)`,
  },
];

/** A ready mod by its id. */
export function readyMod(id: string): Ready | undefined {
  return GALLERY.find((ready) => ready.id === id);
}

/** The sizes that show a ready mod. */
export function settingsOf({ settings }: Ready): Settings {
  return { ...DEFAULT_SETTINGS, ...settings };
}
