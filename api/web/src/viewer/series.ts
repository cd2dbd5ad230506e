// The frames of a series, from its DICOMweb metadata (PS3.18 annex F: attributes by eight hexadecimal digits).
import { get } from "../http";
import { ROOT } from "../router";

export type Attributes = Record<string, { vr?: string; Value?: unknown[] }>;

export interface SeriesFrame {
  sop: string;
  /** From 0, as in `Hit.frame`. */
  frame: number;
  url: string;
  attributes: Attributes;
}

/** Text or number of an attribute, the first of several; null without. */
export function value(attributes: Attributes, tag: string): string | number | null {
  const found = attributes[tag]?.Value?.[0];
  return typeof found === "string" || typeof found === "number" ? found : null;
}

/** Whether the browser draws the frames: colours by a table come as bulk data, which the loader waits for in vain. */
export const isDrawable = (frames: readonly SeriesFrame[]): boolean =>
  frames.every((one) => value(one.attributes, "00280004") !== "PALETTE COLOR");

const numbers = (attributes: Attributes, tag: string): number[] => (attributes[tag]?.Value ?? []).map(Number);

/**
 * The frames of a series in the order of their places, else of InstanceNumber, then of frames; `unveiled` asks
 * for pixels that may bear a name, which an administrator may see.
 */
export async function framesOf(study: string, series: string, unveiled: boolean, signal?: AbortSignal): Promise<SeriesFrame[]> {
  const path = `/dicom-web/studies/${study}/series/${series}`;
  const instances = await get<Attributes[]>(`${path}/metadata`, {}, signal);
  const pictures = inOrder(instances.filter((one) => Number(value(one, "00280010")) > 0));
  return pictures.flatMap((attributes) => {
    const sop = String(value(attributes, "00080018"));
    const count = Math.max(1, Number(value(attributes, "00280008") ?? 1));
    return Array.from({ length: count }, (_, frame) => ({
      sop,
      frame,
      url: `${ROOT}${path}/instances/${sop}/frames/${frame + 1}${unveiled ? "?show_burned_in=true" : ""}`,
      attributes,
    }));
  });
}

function inOrder(instances: Attributes[]): Attributes[] {
  const places = instances.map(along);
  const placed = places.every((one) => one !== null);
  const rank = (at: number) => (placed ? places[at]! : Number(value(instances[at]!, "00200013") ?? at));
  return instances.map((_, at) => at).sort((a, b) => rank(a) - rank(b) || a - b).map((at) => instances[at]!);
}

// How far a slice lies along the normal of its plane, from ImagePositionPatient and ImageOrientationPatient.
function along(attributes: Attributes): number | null {
  const [x, y, z] = numbers(attributes, "00200032");
  const [a, b, c, d, e, f] = numbers(attributes, "00200037");
  if (x === undefined || y === undefined || z === undefined || f === undefined) return null;
  const [ra, rb, rc, rd, re] = [a!, b!, c!, d!, e!];
  return x * (rb * f - rc * re) + y * (rc * rd - ra * f) + z * (ra * re - rb * rd);
}
