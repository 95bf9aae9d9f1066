/** Small pictures for buttons; what they mean is said beside them. @module */

import type { ComponentChildren, JSX } from "preact";

function Icon({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <svg
      class="icon"
      viewBox="0 0 16 16"
      aria-hidden="true"
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
    >
      {children}
    </svg>
  );
}

/** A triangle. */
export const PlayIcon = () => (
  <Icon>
    <path d="M4.5 2.8v10.4L13 8z" fill="currentColor" />
  </Icon>
);

/** Two links of a chain. */
export const LinkIcon = () => (
  <Icon>
    <path d="M6.5 9.5l3-3M7.2 4.6l1.5-1.5a3 3 0 0 1 4.2 4.2l-1.5 1.5M8.8 11.4l-1.5 1.5a3 3 0 0 1-4.2-4.2l1.5-1.5" />
  </Icon>
);

/** A sun. */
export const SunIcon = () => (
  <Icon>
    <circle cx="8" cy="8" r="2.8" />
    <path d="M8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M3.2 12.8l1.1-1.1M11.7 4.3l1.1-1.1" />
  </Icon>
);

/** A moon. */
export const MoonIcon = () => (
  <Icon>
    <path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z" />
  </Icon>
);

/** An arrow into a tray. */
export const SaveIcon = () => (
  <Icon>
    <path d="M8 2v7.5M5 6.8l3 3 3-3M2.8 12.8h10.4" />
  </Icon>
);

/** Two sheets. */
export const CopyIcon = () => (
  <Icon>
    <rect x="5.5" y="5.5" width="7.7" height="7.7" rx="1.5" />
    <path d="M3.2 10.4V4.4a1.2 1.2 0 0 1 1.2-1.2h6" />
  </Icon>
);

/** A tick. */
export const TickIcon = () => (
  <Icon>
    <path d="M3 8.5l3.2 3.2L13 4.8" />
  </Icon>
);

/** A cross. */
export const CrossIcon = () => (
  <Icon>
    <path d="M4 4l8 8M12 4l-8 8" />
  </Icon>
);

/** A square. */
export const StopIcon = () => (
  <Icon>
    <rect x="4" y="4" width="8" height="8" rx="1" fill="currentColor" />
  </Icon>
);

/** A pin. */
export const PinIcon = () => (
  <Icon>
    <circle cx="8" cy="5.5" r="3.2" fill="currentColor" />
    <path d="M8 9v5" />
  </Icon>
);
