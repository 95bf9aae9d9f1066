// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * The one argument that most benches take.
 *
 * @module
 */

/**
 * Whether `--quick` was asked for; any other argument ends the process.
 *
 * @param name What a person runs, for the message.
 */
export function quickAsked(name: string): boolean {
  const unknown = Deno.args.find((arg) => arg !== "--quick");
  if (unknown !== undefined) {
    console.error(`Unknown argument ${unknown}; ${name} takes --quick only`);
    Deno.exit(2);
  }
  return Deno.args.length > 0;
}
