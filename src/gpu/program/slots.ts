/**
 * The buffers that a program's uniforms and words are written to: as many as
 * recordings need at the same time.
 *
 * @module
 */

import { BindGroups } from "./bind_groups.ts";
import type { GpuBuffer } from "../buffers/buffer.ts";
import type { DeviceContext } from "../device_context.ts";
import { HeldWords } from "./held_words.ts";
import { RecordedUses } from "./recordings.ts";
import type { SlotLayout } from "./slot_layout.ts";
import { BufferUsage } from "../buffers/usage.ts";

const USAGE = BufferUsage.uniform | BufferUsage.storage | BufferUsage.copyDst;

/** One buffer, and what was made for it. */
export interface Slot {
  /** Where things lie in it. */
  readonly layout: SlotLayout;
  /** Uniforms and words. */
  readonly buffer: GpuBuffer;
  /** Which recordings read it. */
  readonly uses: RecordedUses;
  /** The bind groups with it. */
  readonly groups: BindGroups;
  /** What was written to each words binding, by name. */
  readonly held: Map<string, HeldWords>;
}

/** The slots of one program. */
export class Slots {
  #gpu: DeviceContext;
  #label: string;
  #slots: Slot[] = [];

  /** None yet. */
  constructor(gpu: DeviceContext, label: string) {
    this.#gpu = gpu;
    this.#label = label;
  }

  /**
   * A slot that no recording reads, with this layout. Those that can be of no
   * use any more go.
   */
  take(layout: SlotLayout): Slot {
    // Always the first, so that a step that is like the last one meets the
    // same buffers in the same order, and with them its bind groups.
    const found = this.#slots.find((slot) =>
      slot.layout === layout && slot.uses.none
    );
    const taken = found ?? this.#make(layout);
    const kept = this.#slots.filter((slot) =>
      slot.layout === layout && slot.uses.foreign === 0
    );
    for (const slot of this.#slots) {
      if (!kept.includes(slot)) giveUp(slot);
    }
    this.#slots = found ? kept : [...kept, taken];
    return taken;
  }

  /** Forgets the bind groups of all slots. */
  clearGroups(): void {
    for (const { groups } of this.#slots) groups.clear();
  }

  /** Frees them; those that recordings still read, with the recordings. */
  destroy(): void {
    this.#slots.splice(0).forEach(giveUp);
  }

  #make(layout: SlotLayout): Slot {
    return {
      layout,
      buffer: this.#gpu.createBuffer({
        label: this.#label,
        size: layout.size,
        usage: USAGE,
      }),
      uses: new RecordedUses(),
      groups: new BindGroups(this.#gpu),
      held: new Map(),
    };
  }
}

/** Writes to a words binding of a slot what it does not hold yet. */
export function writeWords(
  queue: GPUQueue,
  { buffer, layout, held }: Slot,
  name: string,
  words: Uint32Array,
): void {
  let known = held.get(name);
  if (known === undefined) held.set(name, known = new HeldWords());
  const changed = known.take(words);
  if (changed === undefined) return;
  const { first, end } = changed;
  queue.writeBuffer(
    buffer.buffer,
    layout.words.get(name)!.offset + 4 * first,
    words.subarray(first, end) as BufferSource,
  );
}

function giveUp({ buffer, uses, groups }: Slot): void {
  groups.clear();
  if (uses.none) buffer.destroy();
  else buffer.abandon();
}
