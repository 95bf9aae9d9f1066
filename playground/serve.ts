/** Serves the page's files. @module */

/** A file of the page. */
export interface PageFile {
  /** What it is. */
  readonly type: string;
  /** What is in it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The files, by their paths. */
export type PageFiles = ReadonlyMap<string, PageFile>;

/** How the page is served. */
export interface ServeOptions {
  /** The port; 0 for any that is free. */
  readonly port: number;
  /** What to serve, asked for whenever the page is loaded. */
  readonly files: () => Promise<PageFiles>;
}

/** Serves the page on this machine alone. */
export function servePage(
  { port, files }: ServeOptions,
): Deno.HttpServer<Deno.NetAddr> {
  let built: Promise<PageFiles> | undefined;
  const serve = async (request: Request): Promise<Response> => {
    const path = new URL(request.url).pathname.slice(1) || "index.html";
    if (path === "index.html") built = files();
    const file = (await (built ??= files())).get(path);
    return file === undefined
      ? new Response("Not found", { status: 404 })
      : new Response(file.bytes, { headers: { "content-type": file.type } });
  };
  return Deno.serve({
    hostname: "127.0.0.1",
    port,
    onListen: () => {},
    // What the bundler says of a mistake is what its author wants to read.
    onError: (error) => new Response(String(error), { status: 500 }),
  }, serve);
}
