/** Asks workers. @module */

import type { Mistake } from "./evaluation.ts";
import type { Answers, Questions, Reply } from "./requests.ts";

/** The bundled script of `worker.ts`; put here by the build. */
declare const WORKER_SCRIPT: string;

/** How long typed code may run. */
const LIMIT_MS = 8000;

/** A question that has no answer. */
export class MistakeError extends Error {
  /** The name of the class. */
  override readonly name = "MistakeError";
  /** Why. */
  readonly mistake: Mistake;

  /** For a mistake. */
  constructor(mistake: Mistake) {
    super(mistake.message);
    this.mistake = mistake;
  }
}

let url: string | undefined;

/** A worker of the page's own rights, which are few: no network. */
function newWorker(): Worker {
  url ??= URL.createObjectURL(
    new Blob([WORKER_SCRIPT], { type: "text/javascript" }),
  );
  return new Worker(url);
}

/** Asks on a line of its own, so that answers cannot be taken for others. */
function ask<K extends keyof Answers>(
  worker: Worker,
  question: Questions[K],
): Promise<Answers[K]> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    port1.onmessage = ({ data }: MessageEvent<Reply>) => {
      port1.close();
      if ("mistake" in data) reject(new MistakeError(data.mistake));
      else resolve(data.answer as Answers[K]);
    };
    worker.onerror = ({ message }) =>
      reject(new MistakeError({ name: "Error", message }));
    worker.postMessage(question, [port2]);
  });
}

let spare: Worker | undefined;

/**
 * Runs typed code in a worker that knows nothing of earlier code, and ends it.
 *
 * @throws {MistakeError} If the code or its mods are wrong, or it takes too
 * long, or `signal` is aborted.
 */
export async function askOnce<K extends "analyse" | "thumbnails">(
  question: Questions[K],
  signal?: AbortSignal,
): Promise<Answers[K]> {
  const worker = spare ?? newWorker();
  spare = undefined;
  const { promise, reject } = Promise.withResolvers<never>();
  const end = (name: string, message: string) =>
    reject(new MistakeError({ name, message }));
  const timer = setTimeout(
    () => end("TimeoutError", `the code was ended: it ran over ${LIMIT_MS} ms`),
    LIMIT_MS,
  );
  signal?.addEventListener("abort", () => end("AbortError", "superseded"));
  try {
    return await Promise.race([ask<K>(worker, question), promise]);
  } finally {
    clearTimeout(timer);
    worker.terminate();
    spare ??= newWorker();
  }
}

let runner: Worker | undefined;

/**
 * Runs attention in the worker that has the device.
 *
 * @throws {MistakeError} If there is no device, or it fails.
 */
export function askDevice(
  question: Questions["run"],
): Promise<Answers["run"]> {
  return ask<"run">(runner ??= newWorker(), question);
}
