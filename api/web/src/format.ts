// How values are written.
const numbers = new Intl.NumberFormat("en");

/** 12,345; with `capped` 10,000+. */
export const count = (n: number, capped = false): string => `${numbers.format(n)}${capped ? "+" : ""}`;

export const plural = (n: number, one: string, many = `${one}s`, capped = false): string =>
  `${count(n, capped)} ${n === 1 && !capped ? one : many}`;

/** .873 as 0.87: figures have two digits unless they say otherwise. */
export const figure = (x: number | null | undefined, digits = 2): string =>
  x === null || x === undefined || Number.isNaN(x) ? "–" : x.toFixed(digits);

export const percent = (x: number | null | undefined, digits = 0): string =>
  x === null || x === undefined || Number.isNaN(x) ? "–" : `${(100 * x).toFixed(digits)} %`;

/** The study date as stored, YYYY-MM-DD, or a dash. */
export const date = (text: string | null | undefined): string => text || "–";

/** A moment in the reader's own time zone. */
export const moment = (text: string | null | undefined): string => {
  const at = text ? new Date(text) : null;
  return at && !Number.isNaN(at.valueOf())
    ? at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })
    : "–";
};

/** The beginning and the end of a UID, with the whole one as the title where it is shown. */
export const shortUid = (uid: string): string => (uid.length > 22 ? `${uid.slice(0, 8)}…${uid.slice(-8)}` : uid);

export const age = (years: number | null | undefined): string =>
  years === null || years === undefined ? "–" : `${Math.floor(years)} y`;
