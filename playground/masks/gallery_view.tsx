/** The ready mods as buttons with small pictures. @module */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { GALLERY, type Ready, settingsOf } from "./gallery.ts";
import { SIDE, type Thumbnail } from "./thumbnail.ts";
import { askOnce } from "./workers.ts";

/** Which is chosen. */
export interface GalleryOptions {
  /** The code that is typed now. */
  readonly code: string;
  /** Takes a ready mod. */
  readonly onChoose: (ready: Ready) => void;
}

/** All ready mods. */
export function Gallery({ code, onChoose }: GalleryOptions): JSX.Element {
  const [pictures, setPictures] = useState<readonly Thumbnail[]>([]);
  useEffect(() => {
    const wanted = GALLERY.map((ready) => ({
      code: ready.code,
      settings: settingsOf(ready),
    }));
    askOnce<"thumbnails">({ kind: "thumbnails", pictures: wanted })
      // Without pictures there are still the names.
      .then(setPictures, () => {});
  }, []);
  const list = useRef<HTMLUListElement>(null);
  const chosen = GALLERY.findIndex((ready) => ready.code === code);
  useEffect(() => {
    // In a narrow window the list is a strip.
    list.current!.children[chosen]?.scrollIntoView({
      block: "nearest",
      inline: "nearest",
    });
  }, [chosen]);
  return (
    <section class="gallery" aria-label="Ready mods">
      <h2>Begin with</h2>
      <ul ref={list}>
        {GALLERY.map((ready, i) => (
          <li key={ready.id}>
            <button
              type="button"
              aria-pressed={i === chosen}
              title={ready.about}
              onClick={() => onChoose(ready)}
            >
              <Picture picture={pictures[i]} wrong={ready.id === "mistake"} />
              <span>{ready.title}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** One picture: the ink of the style sheet, as strong as each square is bright. */
function Picture(
  { picture, wrong }: { picture: Thumbnail | undefined; wrong: boolean },
): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (picture === undefined || wrong) return;
    const image = new ImageData(SIDE, SIDE);
    picture.forEach((bright, n) => {
      image.data.set([59, 130, 246, bright], 4 * n);
    });
    canvas.current!.getContext("2d")!.putImageData(image, 0, 0);
  }, [picture]);
  if (wrong) {
    return <span class="thumbnail thumbnail-wrong" aria-hidden="true">?:</span>;
  }
  return (
    <canvas
      class="thumbnail"
      ref={canvas}
      width={SIDE}
      height={SIDE}
      aria-hidden="true"
    />
  );
}
