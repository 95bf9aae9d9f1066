/** Light or dark: the system's, or the visitor's choice. @module */

import { useEffect, useState } from "preact/hooks";

/** What is drawn. */
export type Theme = "light" | "dark";

const KEY = "quire.playground.theme";
const DARK = "(prefers-color-scheme: dark)";

function stored(): Theme | undefined {
  try {
    const theme = localStorage.getItem(KEY);
    return theme === "light" || theme === "dark" ? theme : undefined;
  } catch {
    return undefined; // Storage may be forbidden.
  }
}

function store(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It then lasts as long as the page.
  }
}

/** The theme, and what sets it. The document has it as `data-theme`. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const system = () => matchMedia(DARK).matches ? "dark" : "light";
  const [theme, setTheme] = useState<Theme>(() => {
    const first = stored() ?? system();
    document.documentElement.dataset.theme = first;
    return first;
  });
  const set = (next: Theme) => {
    document.documentElement.dataset.theme = next;
    setTheme(next);
  };
  useEffect(() => {
    const query = matchMedia(DARK);
    const follow = () => stored() ?? set(system());
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, []);
  return [theme, (next) => {
    store(next);
    set(next);
  }];
}
