/**
 * The built page in headless Chromium, driven as a person would: by the names
 * of buttons, the mouse and the keyboard.
 *
 * @module
 */

import { type Browser, chromium, type Page } from "playwright-core";
import { type PageFiles, servePage } from "../../../playground/serve.ts";
import {
  findChromium,
  FLAGS,
  INSTALL,
  installChromium,
} from "../../runtimes/chromium.ts";

const ROOT = new URL("../../../", import.meta.url);
const DIST = new URL("playground/dist/", ROOT);

/** How a page is looked at. */
export interface View {
  /** What the system prefers. */
  readonly theme?: "light" | "dark";
  /** The width of the window, in pixels of the style sheet. */
  readonly width?: number;
  /** Whether the browser has WebGPU. */
  readonly webgpu?: boolean;
}

/** A phone. */
export const PHONE = 390;

/** One browser and the served page, for all tests of a file. */
export class Visit implements AsyncDisposable {
  /** Where the page is. */
  readonly url: string;
  /** What the page asked for beyond its own files. */
  readonly requests: string[] = [];
  /** What went wrong in it. */
  readonly errors: string[] = [];
  readonly #server: Deno.HttpServer;
  readonly #browser: Browser;

  private constructor(
    server: Deno.HttpServer<Deno.NetAddr>,
    browser: Browser,
  ) {
    this.#server = server;
    this.#browser = browser;
    this.url = `http://127.0.0.1:${server.addr.port}/`;
  }

  /** Builds and serves the page, and launches the browser. */
  static async begin(): Promise<Visit> {
    const files = await builtFiles();
    const browser = await chromium.launch({
      executablePath: executablePath!,
      args: [...FLAGS],
    });
    const server = servePage({ port: 0, files: () => Promise.resolve(files) });
    return new Visit(server, browser);
  }

  /** Opens the page at an address, and closes it when `use` is done. */
  async open(
    hash: string,
    view: View,
    use: (page: Page) => Promise<void>,
  ): Promise<void> {
    const { theme = "light", width = 1280, webgpu = true } = view;
    const context = await this.#browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: theme,
    });
    context.setDefaultTimeout(20_000);
    try {
      const page = await context.newPage();
      page.on("pageerror", (error) => this.errors.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") this.errors.push(message.text());
      });
      page.on("request", (request) => {
        const own = ["", "page.js", "style.css"].map((path) => this.url + path);
        const url = request.url().replace(/#.*/, "");
        if (!own.includes(url) && !/^(blob|data):/.test(url)) {
          this.requests.push(url);
        }
      });
      page.on("requestfailed", (request) => {
        // The page's own policy refused it: nothing was sent.
        if (request.failure()?.errorText !== "csp") return;
        const at = this.requests.indexOf(request.url());
        if (at >= 0) this.requests.splice(at, 1);
      });
      if (!webgpu) {
        await page.addInitScript("delete Navigator.prototype.gpu;");
      }
      await page.goto(this.url + hash);
      await use(page);
    } finally {
      await context.close();
    }
  }

  /** Ends both. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    await this.#server.shutdown();
  }
}

async function builtFiles(): Promise<PageFiles> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "playground:build"],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const types = { html: "text/html", js: "text/javascript", css: "text/css" };
  const files = await Array.fromAsync(Deno.readDir(DIST), async ({ name }) => {
    const ending = name.split(".").at(-1) as keyof typeof types;
    const bytes = await Deno.readFile(new URL(name, DIST));
    return [name, { type: types[ending], bytes }] as const;
  });
  return new Map(files);
}

const executablePath = findChromium() ?? await installChromium();

/** Why nothing can be tested here, where that is so. */
export const SKIP_REASON: string | undefined = executablePath === undefined
  ? `there is no Chromium here. Debian: ${INSTALL}`
  : undefined;

/** The one of this file's tests, begun by the first of them. */
let visit: Visit | undefined;

let willEnd = false;

/** Ends it after the last. */
function endWithTests(): void {
  if (willEnd) return;
  willEnd = true;
  Deno.test.afterAll(() => visit?.[Symbol.asyncDispose]());
}

/**
 * A test of the page. It fails on errors in the page, and on any request but
 * for its files.
 */
export function pageTest(
  name: string,
  test: (
    open: (
      hash: string,
      use: (page: Page) => Promise<void>,
      view?: View,
    ) => Promise<void>,
  ) => Promise<void>,
): void {
  endWithTests();
  Deno.test({
    name: SKIP_REASON === undefined ? name : `${name} (${SKIP_REASON})`,
    ignore: SKIP_REASON !== undefined,
    // The browser outlives the first test that needs it.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      visit ??= await Visit.begin();
      const { errors, requests } = visit;
      errors.length = 0;
      requests.length = 0;
      await test((hash, use, view = {}) => visit!.open(hash, view, use));
      const faults = [...errors, ...requests.map((url) => `asked for ${url}`)];
      if (faults.length > 0) throw new Error(faults.join("\n"));
    },
  });
}

/** Waits until `found` gives what is expected, and fails with the last. */
export async function eventually<T>(
  found: () => Promise<T>,
  check: (value: T) => void,
): Promise<void> {
  const end = performance.now() + 20_000;
  while (true) {
    try {
      return check(await found());
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
