// Cases page by page: the next ones are asked for when the list comes near its end.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { announce } from "../../parts/announce";
import { plural } from "../../format";
import { get, Problem } from "../../http";
import type { Case, CasePage } from "../../types";
import type { Asked } from "./filters";

const PER_PAGE = 100;

export interface Listed {
  /** Nothing has come yet, not even of an earlier question. */
  first: boolean;
  /** What is shown is of the question before. */
  stale: boolean;
  cases: Case[];
  page: CasePage | null;
  problem: Problem | null;
  /** The next page is under way. */
  coming: boolean;
  more: () => void;
  retry: () => void;
}

interface State {
  key: string;
  cases: Case[];
  page: CasePage | null;
  problem: Problem | null;
  coming: boolean;
}

const NOTHING: State = { key: "", cases: [], page: null, problem: null, coming: false };

export function useCases(asked: Asked, round: number): Listed {
  const key = JSON.stringify([asked, round]);
  const [state, show] = useState<State>(NOTHING);
  const now = useRef<{ key: string; stop: AbortController; cursor: string | null; busy: boolean } | null>(null);

  const load = useCallback(
    (cursor: string | null) => {
      now.current?.stop.abort();
      const mine = { key, stop: new AbortController(), cursor, busy: true };
      now.current = mine;
      show((held) => ({ ...held, coming: true, problem: null }));
      get<CasePage>("/v1/cases", { where: asked.where, sort: asked.sort, limit: PER_PAGE, cursor }, mine.stop.signal).then(
        (page) => {
          if (mine.stop.signal.aborted) return;
          mine.busy = false;
          mine.cursor = page.cursor;
          if (cursor === null) announce(plural(page.total, "case", "cases", page.total_capped));
          show((held) => ({
            key,
            cases: cursor === null ? page.cases : joined(held.cases, page.cases),
            page: cursor === null ? page : { ...page, total: held.page?.total ?? page.total, total_capped: held.page?.total_capped ?? page.total_capped },
            problem: null,
            coming: false,
          }));
        },
        (error: unknown) => {
          if (mine.stop.signal.aborted) return;
          mine.busy = false;
          const problem = error instanceof Problem ? error : new Problem(0, "screen-error", "This list failed", String(error), "");
          show((held) => ({ ...held, key: cursor === null ? key : held.key, cases: cursor === null ? [] : held.cases, problem, coming: false }));
        },
      );
    },
    [key],
  );
  useEffect(() => {
    load(null);
    return () => now.current?.stop.abort();
  }, [key]);
  const more = useCallback(() => {
    const mine = now.current;
    if (mine && mine.key === key && !mine.busy && mine.cursor) load(mine.cursor);
  }, [key, load]);
  const retry = useCallback(() => load(now.current?.cursor ?? null), [load]);
  return {
    first: state.page === null && state.problem === null,
    stale: state.key !== key && state.problem === null,
    cases: state.cases,
    page: state.page,
    problem: state.problem,
    coming: state.coming,
    more,
    retry,
  };
}

/** Without cases that are there already, which a change of what is sorted by may bring again. */
function joined(held: readonly Case[], next: readonly Case[]): Case[] {
  const known = new Set(held.map((one) => one.study_instance_uid));
  return [...held, ...next.filter((one) => !known.has(one.study_instance_uid))];
}
