// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:distill`: a SeerAttention gate learns where attention goes,
 * and attention goes by it.
 *
 * @module
 */

import { type Gpu, openGpu } from "../mod.ts";
import { readCommand } from "../src/cli/arguments.ts";
import { type Column, formatTable } from "../src/cli/table.ts";
import { Prng } from "../src/core/prng.ts";
import type { SeerDistillation, SeerExample } from "../src/policies/mod.ts";
import {
  exampleOf,
  guessedRecall,
  keptBy,
  plant,
  type Planted,
  recallOf,
  TASK,
  untaught,
} from "./distill_gate.ts";

const STEPS = 60;
const SHOWN = 5;
const RATE = 40;

/** A sequence, and what a gate is to learn of it. */
interface Lesson {
  readonly planted: Planted;
  readonly example: SeerExample;
}

async function lessons(
  gpu: Gpu,
  random: Prng,
  count: number,
): Promise<Lesson[]> {
  const made: Lesson[] = [];
  for (let i = 0; i < count; i++) {
    const planted = plant(random);
    made.push({ planted, example: await exampleOf(gpu, planted) });
  }
  return made;
}

function percent(part: number): string {
  return `${(100 * part).toFixed(0)} %`.padStart(5);
}

/** One line of the curve: 80 columns, the bar as long as the loss. */
function line(
  step: number,
  { learned, unseen, recall, most }: {
    readonly learned: number;
    readonly unseen: number;
    readonly recall: number;
    readonly most: number;
  },
): string {
  const bar = "█".repeat(Math.max(1, Math.round(41 * unseen / most)));
  return [
    `${step}`.padStart(4),
    learned.toFixed(4),
    unseen.toFixed(4),
    percent(recall),
    bar,
  ].join("   ");
}

async function main(): Promise<void> {
  using gpu = await openGpu();
  const random = new Prng(1);
  const seen = (await lessons(gpu, random, 24)).map(({ example }) => example);
  const unseen = await lessons(gpu, random, 4);
  const gate: SeerDistillation = untaught(2);
  const held = () => ({
    unseen: gate.loss(unseen.map(({ example }) => example)).loss,
    recall: unseen.reduce(
      (sum, { planted, example }) =>
        sum + recallOf(gate.shares(example), planted),
      0,
    ) / unseen.length,
  });
  console.log(
    `${seen.length} sequences of ${TASK.tokens} tokens, blocks of ${TASK.block}; ` +
      `${unseen.length} others are held out.\n`,
  );
  console.log("step   loss     held out   recall   held out's loss");
  const most = held().unseen;
  for (let step = 0; step <= STEPS; step++) {
    const before = step % SHOWN === 0 ? held() : undefined;
    const learned = gate.step(seen, RATE);
    if (before) console.log(line(step, { learned, most, ...before }));
  }
  console.log(`
Recall: how many of the blocks that queries were planted to look for are among
the gate's highest ${TASK.targets} of their row; by chance ${
    percent(guessedRecall()).trim()
  }.

Attention of a held-out sequence by the gate's highest blocks, and each row's own:
`);
  const rows: string[][] = [];
  for (const topK of [1, 2, 4, 8]) {
    const { density, mass, error, bound } = await keptBy(gpu, gate.weights, {
      planted: unseen[0].planted,
      topK,
    });
    rows.push([
      `${topK}`,
      percent(density),
      percent(mass),
      error.toFixed(3),
      bound.toFixed(3),
    ]);
  }
  console.log(formatTable(COLUMNS, rows));
}

const COLUMNS: readonly Column[] = [
  "of a row",
  "blocks kept",
  "mass kept",
  "off by, mean",
  "2 (1 - mass) max|v|",
].map((title) => ({ title, align: "right" }));

const USAGE = `Usage: deno task example:distill
  Distils a SeerAttention gate on planted blocks; prints how its loss falls`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await main();
}
