// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task pack [--out FILE] [--repository URL]`: the tarball for npm, which
 * is `deno pack`'s with what Node and bundlers read besides in its
 * `package.json`, and without source maps: those would hold all sources again,
 * and the paths of whoever packed.
 *
 * @module
 */

import { readCommand } from "./arguments.ts";

const MANIFEST = "package/package.json";
const RECORD = 512;

/** What `deno.json` cannot say. */
const FIELDS = {
  description:
    "Exact attention for WebGPU: tiled and paged kernels, a KV cache with copy-on-write, a float64 reference",
  keywords: [
    "webgpu",
    "wgsl",
    "attention",
    "flash-attention",
    "paged-attention",
    "kv-cache",
    "transformer",
    "inference",
  ],
  engines: { node: ">=20" },
  sideEffects: false,
} as const;

/** How {@linkcode pack} packs. */
export interface PackOptions {
  /** The file that is written. */
  readonly out: string;
  /** Where the sources are; GitHub's environment says it in its workflows. */
  readonly repository?: string | undefined;
  /** Whether files may differ from what is committed; true by default. */
  readonly allowDirty?: boolean;
}

/**
 * Packs the library of the current folder.
 *
 * @returns The `package.json` within.
 * @throws {Error} if `deno pack` fails
 */
export async function pack(
  { out, repository, allowDirty = true }: PackOptions,
): Promise<Record<string, unknown>> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["pack", "--quiet", "--no-source-maps", "--output", out].concat(
      allowDirty ? ["--allow-dirty"] : [],
    ),
    stdout: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const records = await transform(
    await Deno.readFile(out),
    new DecompressionStream("gzip"),
  );
  let manifest: Record<string, unknown> = {};
  const changed = editFiles(records, (path, text) => {
    // Sources that no entry point reaches, which tests and tools use.
    if (/(?<!\.d)\.ts$/.test(path)) return null;
    if (path !== MANIFEST) return undefined;
    const { exports, main, types, ...rest } = JSON.parse(text());
    manifest = {
      ...rest,
      ...FIELDS,
      ...(repository && { repository: { type: "git", url: repository } }),
      main,
      types,
      exports: { ...exports, "./package.json": "./package.json" },
    };
    return JSON.stringify(manifest, null, 2) + "\n";
  });
  const packed = await transform(changed, new CompressionStream("gzip"));
  await Deno.writeFile(out, packed);
  return manifest;
}

/** What becomes of a file: another text, the same (undefined) or none (null). */
export type FileEdit = (
  path: string,
  text: () => string,
) => string | null | undefined;

/** A tar archive with some of its files changed or left out. */
export function editFiles(
  archive: Uint8Array<ArrayBuffer>,
  edit: FileEdit,
): Uint8Array<ArrayBuffer> {
  const decoder = new TextDecoder();
  const field = (at: number, length: number) =>
    decoder.decode(archive.subarray(at, at + length)).replace(/[\0 ]+$/, "");
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let at = 0;
  while (at + RECORD <= archive.length) {
    const [name, folder] = [field(at, 100), field(at + 345, 155)];
    if (name === "") break;
    const size = parseInt(field(at + 124, 12), 8);
    const body = at + RECORD;
    const end = body + Math.ceil(size / RECORD) * RECORD;
    const changed = edit(
      folder ? `${folder}/${name}` : name,
      () => decoder.decode(archive.subarray(body, body + size)),
    );
    if (changed === undefined) {
      parts.push(archive.subarray(at, end));
    } else if (changed !== null) {
      parts.push(...fileRecords(archive.slice(at, body), changed));
    }
    at = end;
  }
  return concat([...parts, archive.subarray(at)]);
}

/** The header of a file, changed for another text, and that text. */
function fileRecords(
  header: Uint8Array<ArrayBuffer>,
  text: string,
): Uint8Array<ArrayBuffer>[] {
  const bytes = new TextEncoder().encode(text);
  write(header, 124, octal(bytes.length, 11) + "\0");
  // The checksum counts itself as eight spaces.
  write(header, 148, " ".repeat(8));
  const sum = header.reduce((total, byte) => total + byte, 0);
  write(header, 148, octal(sum, 6) + "\0 ");
  const body = new Uint8Array(Math.ceil(bytes.length / RECORD) * RECORD);
  body.set(bytes);
  return [header, body];
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

function write(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function transform(
  bytes: Uint8Array<ArrayBuffer>,
  stream: TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const body = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(body).arrayBuffer());
}

/** What GitHub's workflows say of where they run. */
function repositoryHere(): string | undefined {
  const server = Deno.env.get("GITHUB_SERVER_URL");
  const name = Deno.env.get("GITHUB_REPOSITORY");
  return server && name ? `git+${server}/${name}.git` : undefined;
}

const COMMAND = {
  usage: `Usage: deno task pack [--out FILE] [--repository URL] [--clean]
  Packs the tarball for npm
  --out         the tarball; quire-attention-VERSION.tgz by default
  --repository  for package.json; in a GitHub workflow its own by default
  --clean       refuse files that are not committed`,
  flags: {
    out: { type: "string" },
    repository: { type: "string" },
    clean: { type: "boolean", default: false },
  },
} as const;

if (import.meta.main) {
  const values = readCommand(COMMAND, ({ values }) => values);
  const { version } = JSON.parse(await Deno.readTextFile("deno.json"));
  const out = values.out ?? `quire-attention-${version}.tgz`;
  const repository = values.repository ?? repositoryHere();
  await pack({ out, repository, allowDirty: !values.clean });
  const { size } = await Deno.stat(out);
  console.log(`${out}, ${Math.round(size / 1000)} kB`);
  if (!repository) console.log("Without a repository: see --repository");
}
