/**
 * Which commands are recorded and not submitted yet, and what they use.
 *
 * @module
 */

/** How many recordings use something, which must then stay as it is. */
export class RecordedUses {
  /** Recordings within {@linkcode submitRecording}, whose end is known. */
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

/** Weak: what was recorded into an encoder that is gone needs no end. */
const recordings = new WeakMap<GPUCommandEncoder, Recording>();

/** See `Gpu.submit()`. */
export function submitRecording(
  device: GPUDevice,
  first: string | GPUCommandEncoder,
  record?: (encoder: GPUCommandEncoder) => void,
): void {
  const encoder = typeof first === "string"
    ? followedEncoder(device, first)
    : first;
  const descriptor = typeof first === "string" ? { label: first } : {};
  try {
    record?.(encoder);
    device.queue.submit([encoder.finish(descriptor)]);
  } finally {
    endRecording(encoder);
  }
}

/** Notes that commands of `encoder` use something. */
export function noteUse(encoder: GPUCommandEncoder, uses: RecordedUses): void {
  let recording = recordings.get(encoder);
  if (recording === undefined) {
    recording = { kind: "foreign", uses: new Set() };
    recordings.set(encoder, recording);
  }
  if (recording.uses.has(uses)) return;
  recording.uses.add(uses);
  uses[recording.kind]++;
}

function followedEncoder(device: GPUDevice, label: string): GPUCommandEncoder {
  const encoder = device.createCommandEncoder({ label });
  recordings.set(encoder, { kind: "followed", uses: new Set() });
  return encoder;
}

/** All commands of `encoder` are submitted, or never will be. */
function endRecording(encoder: GPUCommandEncoder): void {
  const recording = recordings.get(encoder);
  if (recording === undefined) return;
  recordings.delete(encoder);
  for (const uses of recording.uses) uses[recording.kind]--;
}
