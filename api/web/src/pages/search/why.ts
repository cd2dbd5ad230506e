// Why a hit was found: which places of two pictures are alike, or where a text fits.
import { post, request } from "../../http";
import type { Side } from "./compare";

export interface Place {
  x: number;
  y: number;
}

export interface Explained {
  cosine: number;
  contrast?: number | null;
  patches: [number, number];
  map?: number[][] | null;
  matches?: { image: Place; like: Place; cosine: number }[] | null;
  localisation?: { share: number; interval: [number, number]; localises: boolean } | null;
  warnings?: string[];
}

/** Ask why `b` is like `a`, or why the text fits `b`. */
export async function whyAlike(a: Side | null, b: Side, text: string | undefined, signal: AbortSignal): Promise<Explained> {
  if (a?.image != null) return post<Explained>("/v1/why", { image_id: a.image, like_image_id: b.image }, signal);
  if (a?.file) {
    const form = new FormData();
    form.append("file", a.file);
    form.append("like_image_id", String(b.image));
    return (await (await request("POST", "/v1/why", { body: form, signal })).json()) as Explained;
  }
  return post<Explained>("/v1/why", { image_id: b.image, text }, signal);
}
