/** The page: a head with two pages below it. @module */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { BlocksPage } from "../blocks/blocks_page.tsx";
import { MaskPage } from "../masks/mask_page.tsx";
import { type Page, readAddress, writeAddress } from "./address.ts";
import { CopyButton } from "./copy_button.tsx";
import { LinkIcon, MoonIcon, SunIcon } from "./icons.tsx";
import { useTheme } from "./theme.ts";

const TITLES: Readonly<Record<Page, string>> = {
  masks: "Masks and scores",
  blocks: "Block tables",
};

/** All of it. */
export function App(): JSX.Element {
  const [theme, setTheme] = useTheme();
  const [address, setAddress] = useState(() => readAddress(location.hash));
  // What each page showed last, to be found again when one comes back.
  const last = useRef<Partial<Record<Page, string>>>({});
  useEffect(() => {
    const read = () => setAddress(readAddress(location.hash));
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }, []);
  useEffect(() => {
    document.title = `${TITLES[address.page]} · Quire playground`;
  }, [address.page]);
  const write = (page: Page) => (state: URLSearchParams) => {
    last.current[page] = writeAddress({ page, state });
    // It makes no event, so what is typed is not read back.
    history.replaceState(null, "", last.current[page]);
  };
  const go = (page: Page) => location.hash = last.current[page] ?? `#${page}`;
  return (
    <>
      <Head page={address.page} onGo={go} theme={theme} setTheme={setTheme} />
      <main>
        {address.page === "masks"
          ? (
            <MaskPage
              state={address.state}
              onState={write("masks")}
              theme={theme}
            />
          )
          : <BlocksPage state={address.state} onState={write("blocks")} />}
      </main>
      <footer>
        Everything runs in this page: it sends nothing anywhere, and a link
        holds what you see.
      </footer>
    </>
  );
}

function Head(
  { page: current, onGo, theme, setTheme }: {
    page: Page;
    onGo: (page: Page) => void;
    theme: "light" | "dark";
    setTheme: (theme: "light" | "dark") => void;
  },
): JSX.Element {
  const other = theme === "dark" ? "light" : "dark";
  return (
    <header class="head">
      <h1>
        <Logo />
        <span>
          Quire <small>playground</small>
        </span>
      </h1>
      <nav aria-label="Pages">
        {(Object.keys(TITLES) as Page[]).map((page) => (
          <a
            key={page}
            href={`#${page}`}
            aria-current={page === current ? "page" : undefined}
            onClick={(event) => {
              event.preventDefault();
              onGo(page);
            }}
          >
            {TITLES[page]}
          </a>
        ))}
      </nav>
      <div class="head-buttons">
        <CopyButton text={() => location.href} label="Copy link">
          <LinkIcon />
        </CopyButton>
        <button
          type="button"
          class="quiet"
          aria-label={`Switch to ${other}`}
          onClick={() => setTheme(other)}
        >
          {theme === "dark" ? <SunIcon /> : <MoonIcon />}
        </button>
      </div>
    </header>
  );
}

/** A causal mask of tiles. */
function Logo(): JSX.Element {
  const tiles = [0, 1, 2, 3].flatMap((row) =>
    Array.from({ length: row + 1 }, (_, column) => ({ row, column }))
  );
  return (
    <svg class="logo" viewBox="0 0 20 20" aria-hidden="true">
      {tiles.map(({ row, column }) => (
        <rect
          key={`${row} ${column}`}
          x={5 * column + 0.5}
          y={5 * row + 0.5}
          width="4"
          height="4"
          rx="0.8"
          class={row === column ? "logo-mixed" : "logo-full"}
        />
      ))}
    </svg>
  );
}
