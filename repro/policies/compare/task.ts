/**
 * Needles in a long context: keys that a few queries ask for, among keys of
 * topics that nobody asks for.
 *
 * @module
 */

import { checkInteger } from "../../../src/core/check.ts";
import { Prng } from "../../../src/core/prng.ts";

/** How large a task is. */
export interface TaskSizes {
  /** Keys before the questions. */
  readonly context: number;
  /** Queries of a question, which come after the context. */
  readonly queries: number;
  /** Heads, each with keys of its own. */
  readonly heads: number;
  /** Elements of a row. */
  readonly headDim: number;
  /** Needles that a question asks for, each by as many of its queries. */
  readonly asked: number;
  /** Questions: each a call of its own on the same keys. */
  readonly questions: number;
  /** Decides all random numbers. */
  readonly seed: number;
}

/** The task of the comparison. */
export const SIZES: TaskSizes = {
  context: 2048,
  queries: 64,
  heads: 4,
  headDim: 64,
  asked: 4,
  questions: 8,
  seed: 1,
};

/** A needle: a run of keys whose values say its name. */
export interface Needle {
  /** Its first key. */
  readonly at: number;
  /** What its keys are near to, by head. */
  readonly key: readonly Float32Array[];
  /** What its values are, by head. */
  readonly value: readonly Float32Array[];
}

/** A context, and questions to it. */
export interface Task extends TaskSizes {
  /** Keys of a call: the context's, then the question's own. */
  readonly keys: number;
  /** `[keys, heads, headDim]`. */
  readonly key: Float32Array;
  /** The same. */
  readonly value: Float32Array;
  /** All needles, each asked for once. */
  readonly needles: readonly Needle[];
  /** Of each question `[queries, heads, headDim]`. */
  readonly questionRows: readonly Float32Array[];
}

/** Keys of a needle. */
export const NEEDLE_KEYS = 4;

/** Keys of a stretch of one topic, and how many topics there are. */
const TOPIC = { keys: 32, count: 24 } as const;

/** Plants a task. */
export function plantedTask(sizes: TaskSizes): Task {
  const { context, queries, heads, headDim, questions, seed } = sizes;
  const random = new Prng(seed);
  const keys = context + queries;
  const width = heads * headDim;
  const vector = (scale = 1) =>
    Float32Array.from({ length: headDim }, () => scale * random.normal());
  const byHead = () => Array.from({ length: heads }, () => vector());
  const topics = Array.from({ length: TOPIC.count }, byHead);
  const key = new Float32Array(keys * width);
  const value = new Float32Array(keys * width);
  let topic = topics[0];
  for (let at = 0; at < keys; at++) {
    if (at % TOPIC.keys === 0) topic = topics[random.below(TOPIC.count)];
    for (let head = 0; head < heads; head++) {
      for (let c = 0; c < headDim; c++) {
        const n = at * width + head * headDim + c;
        // Of unit variance: half of it is the topic's.
        key[n] = Math.SQRT1_2 * (topic[head][c] + random.normal());
        value[n] = random.normal();
      }
    }
  }
  const needles = needlePlaces(sizes, random).map((at): Needle => ({
    at,
    key: byHead(),
    value: byHead(),
  }));
  for (const needle of needles) {
    for (let at = needle.at; at < needle.at + NEEDLE_KEYS; at++) {
      for (let head = 0; head < heads; head++) {
        for (let c = 0; c < headDim; c++) {
          const n = at * width + head * headDim + c;
          key[n] = needle.key[head][c] + 0.1 * random.normal();
          value[n] = needle.value[head][c];
        }
      }
    }
  }
  const questionRows = Array.from({ length: questions }, (_, question) => {
    const rows = new Float32Array(queries * width);
    for (let row = 0; row < queries; row++) {
      const { key } = needles[needleOf(sizes, question, row)];
      for (let n = 0; n < width; n++) {
        rows[row * width + n] = key[Math.floor(n / headDim)][n % headDim] +
          0.5 * random.normal();
      }
    }
    return rows;
  });
  return { ...sizes, keys, key, value, needles, questionRows };
}

/**
 * Where needles begin, in the order of questions: one in each of as many equal
 * parts of the context, so that a window finds as many as it is long.
 */
function needlePlaces(
  { context, asked, questions }: TaskSizes,
  random: Prng,
): number[] {
  const part = Math.floor(context / (questions * asked));
  checkInteger("keys of a needle's part", part, NEEDLE_KEYS);
  const places = Array.from(
    { length: questions * asked },
    (_, i) => i * part + random.below(part - NEEDLE_KEYS + 1),
  );
  return random.shuffle(places);
}

/** Which needle a query of a question asks for. */
export function needleOf(
  { asked, queries }: Pick<TaskSizes, "asked" | "queries">,
  question: number,
  row: number,
): number {
  return question * asked + Math.floor(row * asked / queries);
}

/** What of a question's needles was found. */
export interface Recall {
  /** Of all queries and heads, those whose output is nearest to their needle. */
  readonly perHead: number;
  /** Of all queries, those for which some head's is. */
  readonly anyHead: number;
}

/** Reads a question's outputs `[queries, heads, headDim]`. */
export function recallOf(
  task: Pick<Task, "queries" | "heads" | "headDim" | "asked" | "needles">,
  question: number,
  output: ArrayLike<number>,
): Recall {
  const { queries, heads, headDim, needles } = task;
  let [found, rowsFound] = [0, 0];
  for (let row = 0; row < queries; row++) {
    const asked = needleOf(task, question, row);
    let any = false;
    for (let head = 0; head < heads; head++) {
      const from = (row * heads + head) * headDim;
      const nearness = needles.map(({ value }) => {
        let product = 0;
        for (let c = 0; c < headDim; c++) {
          product += value[head][c] * output[from + c];
        }
        return product;
      });
      if (nearness.indexOf(Math.max(...nearness)) !== asked) continue;
      found++;
      any = true;
    }
    rowsFound += Number(any);
  }
  return { perHead: found / (queries * heads), anyHead: rowsFound / queries };
}
