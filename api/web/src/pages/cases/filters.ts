// Filters of the address: which of them a facet has made, and how its boxes change them.
import type { Query } from "../../router";

export interface FacetValue {
  value: string;
  count: number;
  capped: boolean;
  where: string;
}

export interface Facet {
  field: string;
  title: string;
  values: FacetValue[];
  more: number;
}

export interface Facets {
  facets: Facet[];
  total: number;
  total_capped: boolean;
}

/** How the filters of each facet begin. */
const BEGINNINGS: Record<string, string> = {
  modality: "modality=",
  body_part_examined: "body_part_examined=",
  label: "label:",
  age: "patient_age=",
  sex: "patient_sex=",
  year: "study_date=",
  quality: "quality.",
  "burned-in": "quality.burned_in=",
  collection: "collection=",
};

const OR = " or ";

/** The parts of a filter that a facet has made, joined by or; null for a filter that is not its own. */
export function ownParts(field: string, where: string): string[] | null {
  const beginning = BEGINNINGS[field];
  if (beginning === undefined) return null;
  const parts: string[] = [];
  for (const part of where.split(OR)) {
    if (part.startsWith(beginning)) parts.push(part);
    // The name of a label may hold the word, too.
    else if (parts.length) parts[parts.length - 1] += OR + part;
    else return null;
  }
  const burned = BEGINNINGS["burned-in"]!;
  return field === "quality" && parts.some((one) => one.startsWith(burned)) ? null : parts;
}

/** The values of a facet that are ticked. */
export function chosenOf(field: string, where: readonly string[]): Set<string> {
  return new Set(where.flatMap((one) => ownParts(field, one) ?? []));
}

/** The filters after a box of a facet was ticked or cleared: one filter for each facet. */
export function toggled(field: string, value: string, where: readonly string[]): string[] {
  const chosen = chosenOf(field, where);
  if (!chosen.delete(value)) chosen.add(value);
  const others = where.filter((one) => ownParts(field, one) === null);
  return chosen.size ? [...others, [...chosen].join(OR)] : others;
}

export const SORTS: readonly [string, string][] = [
  ["-added_at", "Newest first"],
  ["added_at", "Oldest first"],
  ["-study_date", "Study date, latest first"],
  ["study_date", "Study date, earliest first"],
  ["-patient_age", "Age, oldest first"],
  ["patient_age", "Age, youngest first"],
  ["-images", "Most images first"],
  ["images", "Fewest images first"],
  ["study_instance_uid", "UID"],
];
export const SORTABLE = ["study_date", "added_at", "patient_age", "images", "study_instance_uid"];
export const USUAL_SORT = "-added_at";

export interface Asked {
  where: string[];
  sort: string;
}

export const askedOf = (query: URLSearchParams): Asked => ({
  where: query.getAll("where"),
  sort: query.get("sort") ?? USUAL_SORT,
});

export const queryOf = (asked: Asked): Query => ({
  where: asked.where,
  sort: asked.sort === USUAL_SORT ? null : asked.sort,
});

/** What a value of a facet is called; many cases have none. */
export function valueName(field: string, value: string): string {
  if (value === "") return "not stated";
  if (field === "burned-in") return { yes: "yes", likely: "likely", no: "no" }[value] ?? value;
  if (field === "quality") return MARKS[value] ?? value;
  return value;
}

export const MARKS: Record<string, string> = {
  blank: "blank",
  near_blank: "nearly blank",
  window_warning: "unusable window",
  lossy: "lossy",
  localizer: "localizer",
  projection: "projection",
  reformatted: "reformatted",
};
