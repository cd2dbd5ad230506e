// A list that goes on: its first page, and those after it.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, Problem, useLoad, type Loaded } from "../../http";
import type { Query } from "../../router";

export interface Paged<T> {
  found: Loaded<T>;
  /** The pages so far. */
  pages: T[];
  more: (() => void) | null;
  problem: Problem | null;
  busy: boolean;
}

/** Pages of `path`, each of which names the next by its `cursor`. */
export function usePages<T extends { cursor?: string | null }>(path: string, query: Query): Paged<T> {
  const key = `${path} ${JSON.stringify(query)}`;
  const found = useLoad(key, (signal) => get<T>(path, query, signal));
  const [after, add] = useState<T[]>([]);
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const first = found.state === "ready" ? found.value : undefined;
  const current = useRef(first);
  current.current = first;
  useEffect(() => {
    add([]);
    tell(null);
    wait(false);
  }, [first]);
  const pages = first ? [first, ...after] : [];
  const cursor = pages[pages.length - 1]?.cursor ?? null;
  const more = () => {
    wait(true);
    tell(null);
    get<T>(path, { ...query, cursor })
      .then(
        (next) => {
          if (current.current === first) add((before) => [...before, next]);
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => current.current === first && wait(false));
  };
  return { found, pages, more: cursor ? more : null, problem, busy };
}
