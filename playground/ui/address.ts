/** What is seen, as the part of the address behind `#`. @module */

/** The two pages. */
export const PAGES = ["masks", "blocks"] as const;

/** One of them. */
export type Page = typeof PAGES[number];

/** A page, and what it shows. */
export interface Address {
  /** Which. */
  readonly page: Page;
  /** Its state. */
  readonly state: URLSearchParams;
}

/** Reads an address; what is none is the page of masks. */
export function readAddress(hash: string): Address {
  const [name, ...rest] = hash.replace(/^#/, "").split("?");
  const page = PAGES.find((page) => page === name) ?? "masks";
  return { page, state: new URLSearchParams(rest.join("?")) };
}

/** Writes one. */
export function writeAddress({ page, state }: Address): string {
  const text = state.toString();
  return `#${page}${text === "" ? "" : `?${text}`}`;
}
