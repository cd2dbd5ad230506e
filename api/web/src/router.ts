// Addresses of the screen: all state of a page is in the query, so that a link shows what its sender saw.
import { useEffect, useState } from "preact/hooks";

/** What stands before /app/ where the service is below a path of a proxy; empty otherwise. */
export const ROOT = location.pathname.replace(/\/app(\/.*)?$/, "");

export interface Place {
  /** The first part of the path: `cases`, `search` and so on. */
  page: string;
  /** What follows it, decoded: a UID, the id of a draft; empty without. */
  rest: string;
  query: URLSearchParams;
}

const listeners = new Set<() => void>();

export function place(): Place {
  const path = location.pathname.slice(`${ROOT}/app`.length).replace(/^\//, "");
  const slash = path.indexOf("/");
  const page = slash < 0 ? path : path.slice(0, slash);
  const rest = slash < 0 ? "" : decoded(path.slice(slash + 1));
  return { page: page || "cases", rest, query: new URLSearchParams(location.search) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page of the screen: `href("cases", "1.2.3", {sort: "-study_date"})`. */
export function href(page: string, rest = "", query: Query = {}): string {
  const path = `${ROOT}/app/${page}${rest ? `/${encodeURIComponent(rest)}` : ""}`;
  const words = queryOf(query).toString();
  return words ? `${path}?${words}` : path;
}

export type Query = Record<string, string | number | boolean | null | undefined | readonly (string | number)[]>;

/** Names with null, undefined or "" are left out; lists are repeated. */
export function queryOf(query: Query): URLSearchParams {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) value.forEach((one) => found.append(name, String(one)));
    else if (value !== null && value !== undefined && value !== "") found.set(name, String(value));
  }
  return found;
}

// Steps within the screen since it was loaded: what lies before them may be another site.
let steps = 0;
addEventListener("popstate", () => {
  steps = Math.max(0, steps - 1);
});

export function navigate(to: string, options: { replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return;
  if (options.replace) history.replaceState(null, "", to);
  else {
    history.pushState(null, "", to);
    steps += 1;
  }
  listeners.forEach((one) => one());
}

/** Back to where the reader was in the screen, or to `otherwise` where it was opened here. */
export function back(otherwise: string): void {
  if (steps > 0) history.back();
  else navigate(otherwise);
}

/** Change some names of the query, null removes one; the rest stays. */
export function setQuery(changes: Query, options: { replace?: boolean } = {}): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    queryOf({ [name]: value }).forEach((one) => query.append(name, one));
  }
  const words = query.toString();
  navigate(location.pathname + (words ? `?${words}` : ""), options);
}

/** The place that is shown; the component is drawn again when it changes. */
export function usePlace(): Place {
  const [found, show] = useState(place);
  useEffect(() => {
    const changed = () => show(place());
    listeners.add(changed);
    addEventListener("popstate", changed);
    return () => {
      listeners.delete(changed);
      removeEventListener("popstate", changed);
    };
  }, []);
  return found;
}

/** Follow links of the screen without loading it anew; modified clicks and other links stay the browser's. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a[href]") as HTMLAnchorElement | null;
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (!link.pathname.startsWith(`${ROOT}/app/`) || link.pathname.startsWith(`${ROOT}/app/built/`)) return;
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
}
