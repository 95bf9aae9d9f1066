/**
 * A service over the simulated page mapper of vAttention.
 *
 * @module
 */

import { type MapperOptions, MapperSimulator } from "./mapper_simulator.ts";
import { sum } from "../experiment.ts";
import { lengthTrace, type Request, WORKLOADS } from "../trace.ts";

/** Requests that are active at once. */
export const SLOTS = 32;
/** Requests of a run, by default. */
export const REQUESTS = 500;
const MEMORY_BYTES = 8 * 1024 ** 3;

/** 32 layers of 4 kv heads of 128 elements of 2 bytes: 64 KiB a token. */
const MODEL = { tokenBytes: 4 * 128 * 2, tensors: 2 * 32 } as const;

/** When pages are mapped. */
export type Mapping = "sync" | "async";

/** Driver calls of a run, and what was wasted. */
export interface MapperRun {
  /** Bytes of a page. */
  readonly pageBytes: number;
  /** Tokens whose keys, or values, of a layer fit in one. */
  readonly tokensPerPage: number;
  /** When pages are mapped. */
  readonly mapping: Mapping;
  /** Bytes of all pages. */
  readonly memoryBytes: number;
  /** Pages mapped. */
  readonly mapCalls: number;
  /** Calls that a prompt had to wait for. */
  readonly promptCalls: number;
  /** Calls that a decode step had to wait for. */
  readonly decodeCalls: number;
  /** Pages unmapped. */
  readonly unmapCalls: number;
  /** Calls if every request gave its pages back: nothing deferred. */
  readonly eagerCalls: number;
  /** Mapped bytes without a token, of those that active requests have. */
  readonly waste: number;
  /** The same, if requests had the pages of their tokens and no more. */
  readonly neededWaste: number;
}

/** What is simulated. */
export interface RunOptions {
  /** Bytes of a page. */
  readonly pageBytes: number;
  /** When pages are mapped. Defaults to `"async"`. */
  readonly mapping?: Mapping;
  /** Requests. Defaults to 500. */
  readonly requests?: number;
  /** Bytes of all pages. Defaults to 8 GiB. */
  readonly memoryBytes?: number;
}

function traceOf(requests: number): Request[] {
  return lengthTrace({
    seed: 3,
    requests,
    ...WORKLOADS.conversations,
    maxLength: 2048,
  });
}

/**
 * Serves a backlog of requests in 32 slots. In each step idle slots are given
 * to the next requests, whose prompts are mapped, and every other active one
 * gets a token.
 */
export function runMapper(options: RunOptions): MapperRun {
  const { pageBytes, mapping = "async" } = options;
  const { requests = REQUESTS, memoryBytes = MEMORY_BYTES } = options;
  const mapperOptions: MapperOptions = {
    slots: SLOTS,
    pages: Math.floor(memoryBytes / pageBytes),
    pageBytes,
    ...MODEL,
  };
  const trace = traceOf(requests);
  const service = new MapperService(mapperOptions, mapping);
  service.serve(trace);
  const { counters, tokensPerPage } = service.mapper;
  const pages = trace.map(({ prompt, output }) =>
    Math.ceil((prompt + output) / tokensPerPage)
  );
  return {
    pageBytes,
    tokensPerPage,
    mapping,
    memoryBytes,
    mapCalls: counters.mapCalls,
    promptCalls: service.promptCalls,
    decodeCalls: counters.criticalMapCalls - service.promptCalls,
    unmapCalls: counters.unmapCalls,
    eagerCalls: MODEL.tensors * sum(pages),
    waste: service.wasted / (service.wasted + service.written),
    neededWaste: 1 - service.written / service.needed,
  };
}

class MapperService {
  readonly mapper: MapperSimulator;
  readonly #mapping: Mapping;
  readonly #pageBytes: number;
  /** Length now and in the end, by slot. */
  readonly #active: Map<number, { length: number; final: number }> = new Map();
  promptCalls = 0;
  /** Bytes summed over steps. */
  wasted = 0;
  written = 0;
  needed = 0;

  constructor(options: MapperOptions, mapping: Mapping) {
    this.mapper = new MapperSimulator(options);
    this.#mapping = mapping;
    this.#pageBytes = options.pageBytes;
  }

  serve(trace: readonly Request[]): void {
    const waiting = [...trace].reverse();
    while (waiting.length > 0 || this.#active.size > 0) {
      const lengths = new Map<number, number>();
      for (const [slot, own] of this.#active) lengths.set(slot, ++own.length);
      while (waiting.length > 0 && this.#active.size < SLOTS) {
        const [slot, prompt] = this.#begin(waiting.pop()!);
        lengths.set(slot, prompt);
      }
      if (this.#mapping === "async") this.mapper.stepAsync(lengths);
      else this.mapper.step(lengths);
      this.#measure();
      this.#end();
    }
    this.mapper.verify();
  }

  /** Slot and prompt of a request that begins with this step. */
  #begin({ prompt, output }: Request): [slot: number, prompt: number] {
    const slot = this.mapper.allocate(prompt);
    const missing = Math.ceil(prompt / this.mapper.tokensPerPage) -
      this.mapper.mappedPages(slot);
    this.promptCalls += MODEL.tensors * Math.max(0, missing);
    this.#active.set(slot, { length: prompt, final: prompt + output });
    return [slot, prompt];
  }

  #end(): void {
    for (const [slot, { length, final }] of this.#active) {
      if (length < final) continue;
      this.mapper.free(slot);
      this.#active.delete(slot);
    }
  }

  #measure(): void {
    const { tokensPerPage } = this.mapper;
    this.wasted += this.mapper.wastedBytes;
    for (const { length } of this.#active.values()) {
      this.written += MODEL.tensors * length * MODEL.tokenBytes;
      this.needed += MODEL.tensors * Math.ceil(length / tokensPerPage) *
        this.#pageBytes;
    }
  }
}
