/** Effects of what changes. @module */

import { useEffect, useRef } from "preact/hooks";

/** As `useEffect()`, but not for what was there to begin with. */
export function useChange(effect: () => void, values: unknown[]): void {
  const began = useRef(false);
  useEffect(() => {
    if (began.current) effect();
    began.current = true;
  }, values);
}
