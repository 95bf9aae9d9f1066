/**
 * Attention in a Web Worker: the thread that asks neither plans nor waits for
 * the device. `deno task example:worker` runs it in Deno; the page in
 * `examples/browser/` uses the same two files, so nothing here needs Deno.
 *
 * @module
 */

import type { HostTensor } from "../../mod.ts";
import type { WorkerAnswer, WorkerRequest } from "./worker.ts";

/** A worker that computes attention. */
export class AttentionWorker implements Disposable {
  readonly #worker: Worker;
  readonly #waiting: Map<number, PromiseWithResolvers<HostTensor>> = new Map();
  #next = 0;

  /** Starts the worker; in a bundle its script is elsewhere. */
  constructor(script: URL = new URL("./worker.ts", import.meta.url)) {
    this.#worker = new Worker(script, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => {
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.output) waiting?.resolve(data.output);
      else waiting?.reject(new Error(data.error));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(event.message));
      }
      this.#waiting.clear();
    };
  }

  /**
   * Computes attention of host tensors. Their arrays are handed over: they are
   * empty afterwards.
   */
  attention(options: WorkerRequest["options"]): Promise<HostTensor> {
    const answer = Promise.withResolvers<HostTensor>();
    const id = this.#next++;
    this.#waiting.set(id, answer);
    const { query, key, value } = options;
    const transfer = new Set(
      [query, key, value].map(({ data }) => data.buffer),
    );
    const request: WorkerRequest = { id, options };
    this.#worker.postMessage(request, [...transfer] as Transferable[]);
    return answer.promise;
  }

  /** Ends the worker, and its device with it. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) {
      reject(new Error("the worker has ended"));
    }
    this.#waiting.clear();
  }
}
