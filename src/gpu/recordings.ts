/**
 * Which commands are recorded and not submitted yet, and what they use.
 *
 * @module
 */

/** How many recordings use something, which must then stay as it is. */
export class RecordedUses {
  /** Recordings within {@linkcode Recordings.submit}, whose end is known. */
  followed = 0;
  /** Recordings of which nobody says whether they have been submitted. */
  foreign = 0;

  /** Whether no recording uses it. */
  get none(): boolean {
    return this.followed === 0 && this.foreign === 0;
  }
}

interface Recording {
  readonly kind: "followed" | "foreign";
  readonly uses: Set<RecordedUses>;
}

/** The encoders of one `Gpu`. */
export class Recordings {
  // Weak: what was recorded into an encoder that is gone needs no end.
  #recordings = new WeakMap<GPUCommandEncoder, Recording>();

  /** See `Gpu.submit()`. */
  submit(
    device: GPUDevice,
    first: string | GPUCommandEncoder,
    record?: (encoder: GPUCommandEncoder) => void,
  ): void {
    const encoder = typeof first === "string"
      ? this.#begin(device, first)
      : first;
    const descriptor = typeof first === "string" ? { label: first } : {};
    try {
      record?.(encoder);
      device.queue.submit([encoder.finish(descriptor)]);
    } finally {
      this.#end(encoder);
    }
  }

  /** Notes that commands of `encoder` use something. */
  use(encoder: GPUCommandEncoder, uses: RecordedUses): void {
    let recording = this.#recordings.get(encoder);
    if (recording === undefined) {
      recording = { kind: "foreign", uses: new Set() };
      this.#recordings.set(encoder, recording);
    }
    if (recording.uses.has(uses)) return;
    recording.uses.add(uses);
    uses[recording.kind]++;
  }

  #begin(device: GPUDevice, label: string): GPUCommandEncoder {
    const encoder = device.createCommandEncoder({ label });
    this.#recordings.set(encoder, { kind: "followed", uses: new Set() });
    return encoder;
  }

  /** All commands of `encoder` are submitted, or never will be. */
  #end(encoder: GPUCommandEncoder): void {
    const recording = this.#recordings.get(encoder);
    if (recording === undefined) return;
    this.#recordings.delete(encoder);
    for (const uses of recording.uses) uses[recording.kind]--;
  }
}
