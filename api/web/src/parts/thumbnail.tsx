// Small pictures: all that are asked for within one frame come with one request, and some hundreds are kept.
import { useEffect, useState } from "preact/hooks";
import { get } from "../http";
import { Withheld } from "./states";

interface Answer {
  thumbnails: ({ image_id: number; content_type: string; data: string } | { image_id: number; code: string })[];
}

export type Picture = { url: string } | { code: string };

const MOST_KEPT = 1000;
const MOST_ASKED = 100;
const kept = new Map<number, Picture>();
const waiting = new Map<number, ((picture: Picture) => void)[]>();
let due = 0;

function ask(): void {
  due = 0;
  const asked = [...waiting.keys()].slice(0, MOST_ASKED);
  const heard = asked.map((id) => [id, waiting.get(id)!] as const);
  asked.forEach((id) => waiting.delete(id));
  if (waiting.size) due = requestAnimationFrame(ask);
  get<Answer>("/v1/thumbnails", { image_id: asked }).then(
    (answer) => {
      const found = new Map<number, Picture>(
        answer.thumbnails.map((one) => [
          one.image_id,
          "data" in one ? { url: `data:${one.content_type};base64,${one.data}` } : { code: one.code },
        ]),
      );
      for (const [id, listeners] of heard) {
        const picture = found.get(id) ?? { code: "unknown-image" };
        keep(id, picture);
        listeners.forEach((one) => one(picture));
      }
    },
    (problem: { code?: string }) => heard.forEach(([, all]) => all.forEach((one) => one({ code: problem.code ?? "unreachable" }))),
  );
}

function keep(id: number, picture: Picture): void {
  kept.set(id, picture);
  for (const oldest of kept.keys()) {
    if (kept.size <= MOST_KEPT) break;
    kept.delete(oldest);
  }
}

/** The thumbnail of an image: a data URL, or the code of why there is none. */
export function thumbnail(id: number): Promise<Picture> {
  const found = kept.get(id);
  if (found) return Promise.resolve(found);
  return new Promise((resolve) => {
    waiting.set(id, [...(waiting.get(id) ?? []), resolve]);
    if (!due) due = requestAnimationFrame(ask);
  });
}

/** Forget all: another person may have signed in. */
export const forgetThumbnails = (): void => kept.clear();

export function Thumbnail({ image, alt }: { image: number | null; alt: string }) {
  const [picture, show] = useState<Picture | null>(image === null ? { code: "none" } : (kept.get(image) ?? null));
  useEffect(() => {
    if (image === null) {
      show({ code: "none" });
      return;
    }
    let gone = false;
    show(kept.get(image) ?? null);
    thumbnail(image).then((found) => gone || show(found));
    return () => {
      gone = true;
    };
  }, [image]);
  if (!picture) return <span class="thumbnail bone" aria-hidden="true" />;
  if ("code" in picture) return <Withheld code={picture.code} />;
  return <img class="thumbnail" src={picture.url} alt={alt} draggable={false} />;
}
