/**
 * The worker: it opens its own device, and answers each message with attention.
 * It runs in Deno and in browsers.
 *
 * @module
 */

import { attention, type HostTensor, openGpu } from "../../mod.ts";

/** What the worker is asked. Host tensors can be posted, GPU tensors cannot. */
export interface WorkerRequest {
  /** Comes back with the answer. */
  readonly id: number;
  /** The options of `attention()`. */
  readonly options: {
    readonly query: HostTensor;
    readonly key: HostTensor;
    readonly value: HostTensor;
    readonly causal?: boolean;
  };
}

/** What the worker answers. */
export interface WorkerAnswer {
  /** The request's. */
  readonly id: number;
  /** The output, unless it failed. */
  readonly output?: HostTensor;
  /** Why it failed. */
  readonly error?: string;
}

/** As much of a worker's scope as is used here. */
interface Scope {
  onmessage: (event: MessageEvent<WorkerRequest>) => void;
  postMessage(answer: WorkerAnswer, transfer: Transferable[]): void;
}

const scope = globalThis as unknown as Scope;
const opened = openGpu();

scope.onmessage = async ({ data: { id, options } }) => {
  try {
    const { output } = await attention(await opened, options);
    // The array is handed over, not copied.
    const transfer = [output.data.buffer as ArrayBuffer];
    scope.postMessage({ id, output }, transfer);
  } catch (error) {
    scope.postMessage({ id, error: String(error) }, []);
  }
};
