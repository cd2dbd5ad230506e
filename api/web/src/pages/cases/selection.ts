// Which case the keys are about, and which are selected.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { announce } from "../../parts/announce";
import { plural } from "../../format";
import type { Case } from "../../types";

export interface Selection {
  active: number;
  /** Counted up each time the active case is to be focused. */
  focusing: number;
  activate: (index: number, focus: boolean) => void;
  set: ReadonlySet<string>;
  uids: readonly string[];
  /** Take a case in or out; `upTo` takes in all from the one before. */
  select: (index: number, upTo: boolean) => void;
  selectAll: () => void;
  clear: () => void;
}

/** The selection among cases; another question (`key`) starts anew. */
export function useSelection(cases: readonly Case[], key: string): Selection {
  const [active, setActive] = useState(0);
  const [focusing, focus] = useState(0);
  const [set, choose] = useState<ReadonlySet<string>>(new Set());
  const held = useRef({ cases, set, last: 0 });
  held.current.cases = cases;
  held.current.set = set;
  useEffect(() => {
    setActive(0);
    choose(new Set());
    held.current.last = 0;
  }, [key]);
  const activate = useCallback((index: number, withFocus: boolean) => {
    setActive(Math.max(0, index));
    if (withFocus) focus((n) => n + 1);
  }, []);
  const select = useCallback((index: number, upTo: boolean) => {
    const { cases: all, set: before, last } = held.current;
    const next = new Set(before);
    const uid = all[index]?.study_instance_uid;
    if (uid === undefined) return;
    if (upTo) all.slice(Math.min(last, index), Math.max(last, index) + 1).forEach((one) => next.add(one.study_instance_uid));
    else if (!next.delete(uid)) next.add(uid);
    held.current.last = index;
    choose(next);
    announce(`${plural(next.size, "case")} selected`);
  }, []);
  const selectAll = useCallback(() => {
    const all = held.current.cases.map((one) => one.study_instance_uid);
    choose(new Set(all));
    announce(`${plural(all.length, "case")} selected`);
  }, []);
  const clear = useCallback(() => {
    choose(new Set());
    announce("No case selected");
  }, []);
  const uids = useMemo(() => [...set], [set]);
  return { active: Math.min(active, Math.max(0, cases.length - 1)), focusing, activate, set, uids, select, selectAll, clear };
}
