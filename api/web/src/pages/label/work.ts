// The cases in hand: which one is shown, what was said of each, and when more are fetched.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../../http";
import type { Case } from "../../types";
import { askQueue, give, undo, type Queue, type Said, type Task, type Values } from "./ask";
import { announce } from "../../parts/announce";

/** With fewer cases ahead more are fetched. */
const AHEAD = 4;

export interface Work {
  state: "loading" | "ready" | "error";
  problem: Problem | null;
  retry: () => void;
  queue: Queue | null;
  shown: Case | null;
  /** What is chosen for the case that is shown, kept when it is saved or another is shown. */
  chosen: Values;
  choose: (label: string, value: Said) => void;
  saved: boolean;
  busy: boolean;
  labelled: number;
  remaining: number;
  /** How many saves and undoings there were: figures are asked for anew by it. */
  changes: number;
  failed: Problem | null;
  save: () => void;
  move: (by: number) => void;
  takeBack: () => void;
  ahead: Case | null;
}

export function useWork(task: Task): Work {
  const key = JSON.stringify([task.labels, task.order, task.seed, task.where]);
  const [round, again] = useState(0);
  const [queue, keep] = useState<Queue | null>(null);
  const [cases, hold] = useState<Case[]>([]);
  const [at, go] = useState(0);
  const [said, say] = useState<Record<string, Values>>({});
  const [done, mark] = useState<ReadonlySet<string>>(new Set());
  const [busy, work] = useState(false);
  const [changes, change] = useState(0);
  const [problem, fail] = useState<Problem | null>(null);
  const [failed, refuse] = useState<Problem | null>(null);
  const [loading, load] = useState(true);
  // Since the service last told how many are labelled.
  const [since, count] = useState<ReadonlySet<string>>(new Set());
  const drained = useRef(false);
  const hear = (found: Queue) => {
    keep(found);
    count(new Set());
  };

  useEffect(() => {
    const stop = new AbortController();
    drained.current = false;
    load(true);
    fail(null);
    refuse(null);
    askQueue(task, stop.signal).then(
      (found) => {
        if (stop.signal.aborted) return;
        hear(found);
        hold(found.cases);
        go(0);
        say({});
        mark(new Set());
        load(false);
      },
      (error: unknown) => {
        if (stop.signal.aborted) return;
        fail(problemOf(error));
        load(false);
      },
    );
    return () => stop.abort();
  }, [key, round]);

  const more = useCallback(() => {
    if (drained.current) return;
    drained.current = true; // one request at a time
    askQueue(task).then(
      (found) => {
        hear(found);
        hold((before) => {
          const known = new Set(before.map((one) => one.study_instance_uid));
          const fresh = found.cases.filter((one) => !known.has(one.study_instance_uid));
          drained.current = !fresh.length;
          return [...before, ...fresh];
        });
      },
      () => (drained.current = false),
    );
  }, [key]);
  useEffect(() => {
    if (!loading && cases.length && at >= cases.length - AHEAD) more();
  }, [at, cases.length, loading]);

  const shown = cases[at] ?? null;
  const uid = shown?.study_instance_uid ?? "";
  const chosen = said[uid] ?? {};
  const move = (by: number) => {
    go((now) => Math.min(cases.length, Math.max(0, now + by)));
    refuse(null);
  };
  const save = async () => {
    const values = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== null || done.has(uid)));
    if (busy || !uid) return;
    if (!Object.keys(values).length) {
      announce("Choose a value, or press j for the next case without one.");
      return;
    }
    work(true);
    refuse(null);
    try {
      await give(uid, values);
      mark((before) => new Set(before).add(uid));
      if (!done.has(uid) && task.order !== "disagreement") count((before) => new Set(before).add(uid));
      change((n) => n + 1);
      announce(`Saved: ${wordsOf(values)}. ${at + 1 < cases.length ? "Next case." : "That was the last case."}`);
      go(at + 1);
    } catch (error) {
      refuse(problemOf(error));
    }
    work(false);
  };
  const takeBack = async () => {
    if (busy) return;
    work(true);
    refuse(null);
    try {
      const undone = await undo();
      const again = cases.findIndex((one) => undone.studies.includes(one.study_instance_uid));
      mark((before) => new Set([...before].filter((one) => !undone.studies.includes(one))));
      change((n) => n + 1);
      announce(`Undone: ${undone.labels.join(", ")}, of ${undone.cases === 1 ? "one case" : `${undone.cases} cases`}.`);
      if (again >= 0) go(again);
      hear(await askQueue(task));
    } catch (error) {
      const found = problemOf(error);
      if (found.code === "nothing-to-undo") announce("There is nothing to undo.");
      else refuse(found);
    }
    work(false);
  };
  return {
    state: problem ? "error" : loading && !queue ? "loading" : "ready",
    problem,
    retry: () => again((n) => n + 1),
    queue,
    shown,
    chosen,
    choose: (label, value) => say((before) => ({ ...before, [uid]: { ...before[uid], [label]: value } })),
    saved: done.has(uid),
    busy,
    labelled: (queue?.labelled ?? 0) + since.size,
    remaining: Math.max(0, (queue?.remaining ?? 0) - since.size),
    changes,
    failed,
    save,
    move,
    takeBack,
    ahead: cases[at + 1] ?? null,
  };
}

export const wordsOf = (values: Values): string =>
  Object.entries(values)
    .map(([label, value]) => `${label} ${value === null ? "taken back" : value ? "present" : "absent"}`)
    .join(", ");

function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, "screen-error", "This page failed", String(error), "");
}
