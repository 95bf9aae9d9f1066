/**
 * Which commands are recorded and not submitted yet, and what they use.
 *
 * @module
 */

/** How many recordings use something, which must then stay as it is. */
export class RecordedUses {
  /** Recordings that end with {@linkcode Recordings.end}. */
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

  /** Follows an encoder from its making to its end. */
  begin(encoder: GPUCommandEncoder): void {
    this.#recordings.set(encoder, { kind: "followed", uses: new Set() });
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

  /** Notes that all commands of `encoder` are submitted, or never will be. */
  end(encoder: GPUCommandEncoder): void {
    const recording = this.#recordings.get(encoder);
    if (recording === undefined) return;
    this.#recordings.delete(encoder);
    for (const uses of recording.uses) uses[recording.kind]--;
  }
}
