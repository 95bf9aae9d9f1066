/** Screenshots as pixels. @module */

import type { Locator, Page } from "playwright-core";

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** A screenshot. */
export interface Picture {
  /** Its width in pixels. */
  readonly width: number;
  /** Its height in pixels. */
  readonly height: number;
  /** The colour of a pixel. */
  at(x: number, y: number): Rgb;
  /** Every colour of a rectangle, as texts. */
  colours(x: number, y: number, width: number, height: number): Set<string>;
}

/** Takes a screenshot of something; the browser itself reads the PNG. */
export async function pictureOf(
  page: Page,
  what: Locator,
): Promise<Picture> {
  const png = (await what.screenshot()).toString("base64");
  const { width, height, bytes } = await page.evaluate(async (png) => {
    const data = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([data]));
    const { width, height } = image;
    const context = new OffscreenCanvas(width, height).getContext("2d")!;
    context.drawImage(image, 0, 0);
    const { data: bytes } = context.getImageData(0, 0, width, height);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { width, height, bytes: btoa(text) };
  }, png);
  const data = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  const at = (x: number, y: number): Rgb => {
    const start = 4 * (Math.floor(y) * width + Math.floor(x));
    return [data[start], data[start + 1], data[start + 2]];
  };
  return {
    width,
    height,
    at,
    colours: (x, y, wide, high) => {
      const found = new Map<number, Rgb>();
      for (let i = y; i < y + high; i++) {
        for (let j = x; j < x + wide; j++) {
          const colour = at(j, i);
          const [red, green, blue] = colour;
          found.set((red << 16) | (green << 8) | blue, colour);
        }
      }
      return new Set([...found.values()].map(hex));
    },
  };
}

/** A colour as the style sheet writes it. */
export function hex(colour: Rgb): string {
  return `#${colour.map((x) => x.toString(16).padStart(2, "0")).join("")}`;
}

/** A colour of the style sheet by its name. */
export async function styleColour(page: Page, name: string): Promise<string> {
  return await page.evaluate(
    (name) =>
      getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)
        .trim(),
    name,
  );
}
