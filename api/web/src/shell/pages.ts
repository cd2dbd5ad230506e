// The pages: each is loaded when it is first opened.
import type { FunctionComponent } from "preact";
import type { IconName } from "../parts/icon";
import type { Place } from "../router";

export interface PageProps {
  place: Place;
}

export interface PageEntry {
  name: string;
  title: string;
  icon: IconName;
  /** After `g`. */
  key: string;
  /** The scope without which the rail does not show it. */
  scope?: string;
  load: () => Promise<{ default: FunctionComponent<PageProps> }>;
}

export const PAGES: readonly PageEntry[] = [
  { name: "cases", title: "Cases", icon: "cases", key: "c", load: () => import("../pages/cases/page") },
  { name: "search", title: "Search", icon: "search", key: "s", load: () => import("../pages/search/page") },
  { name: "map", title: "Map", icon: "map", key: "m", load: () => import("../pages/map/page") },
  { name: "label", title: "Label", icon: "label", key: "l", load: () => import("../pages/label/page") },
  { name: "models", title: "Models", icon: "models", key: "o", load: () => import("../pages/models/page") },
  { name: "drafts", title: "Drafts", icon: "drafts", key: "d", load: () => import("../pages/drafts/page") },
  { name: "ingest", title: "Ingest", icon: "ingest", key: "i", load: () => import("../pages/ingest/page") },
  { name: "pacs", title: "PACS", icon: "pacs", key: "p", scope: "write", load: () => import("../pages/pacs/page") },
  { name: "audit", title: "Audit", icon: "audit", key: "a", scope: "admin", load: () => import("../pages/audit/page") },
];

/** A case is a page of its own, below the address of the list. */
export const CASE: PageEntry = {
  name: "case",
  title: "Case",
  icon: "cases",
  key: "",
  load: () => import("../pages/case/page"),
};

export function pageOf(place: Place): PageEntry | undefined {
  if (place.page === "cases" && place.rest) return CASE;
  return PAGES.find((one) => one.name === place.page);
}
