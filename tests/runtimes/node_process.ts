/**
 * Processes of a Node project.
 *
 * @module
 */

/** How a process ended, and all that it said. */
export interface ProcessOutput {
  /** Its exit code; 127 where there is no such command. */
  readonly code: number;
  /** Standard output and then standard error. */
  readonly text: string;
}

/** Runs a command to its end. */
export async function output(
  cwd: string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ProcessOutput> {
  try {
    const { code, stdout, stderr } = await new Deno.Command(command, {
      args: [...args],
      cwd,
      env,
    }).output();
    const [first, second] = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    return { code, text: first + second };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, text: error.message };
  }
}

/**
 * What a command says.
 *
 * @throws {Error} if it fails, with that
 */
export async function run(
  cwd: string,
  command: string,
  args: readonly string[],
): Promise<string> {
  const { code, text } = await output(cwd, command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}\n${text}`);
  return text;
}
