// What the service says of a map, and its points as arrays.
import { get, request } from "../../http";

export const LEVELS = ["study", "series", "image"] as const;
export type Level = (typeof LEVELS)[number];

export interface MapInfo {
  version: number;
  level: Level;
  points: number;
  rows: number;
  method: string;
  seed: number;
  neighbours: number;
  neighbours_kept: number | null;
  trustworthiness: number | null;
  fields: Record<string, string[]>;
  created_at: string;
  outdated: boolean;
  warnings: string[];
}

export interface Points {
  /** x and y of each point in turn, within -1 and 1. */
  places: Float32Array;
  images: Uint32Array;
  /** The place of each image's point. */
  indexOf: Map<number, number>;
}

export interface Colours {
  field: string;
  kind: "category" | "number";
  names: string[];
  counts: number[];
  unknown: number;
  low?: number | null;
  high?: number | null;
  /** A byte for each point: a place in `names`, or 0 to 250 of a number; 255 is not known. */
  codes: Uint8Array;
}

export interface Placed {
  index: number | null;
  x: number | null;
  y: number | null;
  image_id: number;
  study_instance_uid: string;
  score: number;
}

export interface MapPlace {
  study_instance_uid: string | null;
  x: number | null;
  y: number | null;
  scatter: number | null;
  neighbours: Placed[];
  warnings: string[];
}

export interface Outliers {
  outliers: { index: number; x: number; y: number; image_id: number; study_instance_uid: string; apart: number; share: number }[];
}

export interface Duplicates {
  total: number;
  min_cosine: number;
  groups: { cosine: number; patients: number; cases: { index: number; image_id: number; study_instance_uid: string; patient_key: string }[] }[];
}

export const UNKNOWN = 255;
export const HIGHEST = 250;

export async function loadPoints(level: Level, version: number, signal: AbortSignal): Promise<Points> {
  const answer = await request("GET", "/v1/map/points", {
    query: { level, version },
    headers: { Accept: "application/octet-stream" },
    signal,
  });
  const bytes = await answer.arrayBuffer();
  const count = Math.floor(bytes.byteLength / 12);
  const images = new Uint32Array(bytes, 8 * count, count);
  const indexOf = new Map<number, number>();
  images.forEach((image, index) => indexOf.set(image, index));
  return { places: new Float32Array(bytes, 0, 2 * count), images, indexOf };
}

export async function loadColours(field: string, level: Level, version: number, signal: AbortSignal): Promise<Colours> {
  const found = await get<Omit<Colours, "codes"> & { codes: string }>("/v1/map/colours", { field, level, version }, signal);
  const text = atob(found.codes);
  const codes = Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  return { ...found, names: found.names ?? [], counts: found.counts ?? [], codes };
}

const TITLES: Record<string, string> = {
  modality: "Modality",
  body_part_examined: "Body part",
  year: "Year",
  manufacturer: "Manufacturer",
  site: "Site",
  patient_sex: "Sex",
  neighbours_kept: "Neighbours kept",
};

export const fieldTitle = (field: string): string => {
  const [kind, ...rest] = field.split(":");
  if (kind === "label" && rest.length) return `Label: ${rest.join(":")}`;
  if (kind === "probe" && rest.length) return `Score: ${rest.join(":")}`;
  return TITLES[field] ?? field;
};

/** The filter of the cases that have this value; null where no filter says it. */
export function whereOf(field: string, name: string, names: readonly string[]): string[] | null {
  if (name === "other" && name === names[names.length - 1]) return null;
  const value = name.replaceAll("|", "\\|");
  if (field === "year") return [`study_date>=${name}-01-01`, `study_date<=${name}-12-31`];
  if (field === "site") return [`quality.site=${value}`];
  if (field.startsWith("label:")) return [`${field}${name === "yes" ? ">0.5" : "<=0.5"}`];
  return [`${field}=${value}`];
}
