// What a person has decided about the sentences of a draft so far, and what the service says of the text they make.
import { useEffect, useRef, useState } from "preact/hooks";
import { post, Problem } from "../../http";
import { isOpen, type Choice, type Concern, type Report, type Reviewed, type Sentence } from "./report";

const PAUSE_MS = 500;

export interface Chosen {
  choice: Choice;
  text: string;
}

export interface Deciding {
  chosen: ReadonlyMap<number, Chosen>;
  acknowledged: ReadonlySet<string>;
  choose: (sentence: number, choice: Choice | null, text?: string) => void;
  acknowledge: (id: string, on: boolean) => void;
  /** Sentences that must be decided, and are not yet. */
  undecided: readonly Sentence[];
  /** What is asked besides: what is left out, and what the text that was decided brings. */
  others: readonly Concern[];
  reviewed: Reviewed | null;
  checking: boolean;
  problem: Problem | null;
  decisions: () => { sentence: number; choice: Choice; text?: string }[];
  forget: () => void;
}

// Kept while another page is looked at; never in the address or the browser's storage, as it is a patient's text.
const held = new Map<string, { chosen: ReadonlyMap<number, Chosen>; acknowledged: ReadonlySet<string> }>();

/** Decisions of one revision of a draft; they are held by this page of the browser until the draft is accepted. */
export function useDeciding(report: Report): Deciding {
  const name = `${report.id} ${report.revision}`;
  const [chosen, change] = useState<ReadonlyMap<number, Chosen>>(held.get(name)?.chosen ?? new Map());
  const [acknowledged, mark] = useState<ReadonlySet<string>>(held.get(name)?.acknowledged ?? new Set());
  const [reviewed, show] = useState<Reviewed | null>(null);
  const [checking, wait] = useState(false);
  const [problem, fail] = useState<Problem | null>(null);
  const last = useRef(chosen);
  last.current = chosen;

  const decisions = () =>
    [...last.current].map(([sentence, one]) => ({
      sentence,
      choice: one.choice,
      ...(one.choice === "edit" ? { text: one.text } : {}),
    }));
  const forget = () => {
    change(new Map());
    mark(new Set());
    show(null);
    fail(null);
  };
  const revision = useRef(name);
  useEffect(() => {
    if (revision.current === name) return;
    held.delete(revision.current);
    revision.current = name;
    forget();
  }, [name]);
  useEffect(() => {
    if (chosen.size || acknowledged.size) held.set(name, { chosen, acknowledged });
    else held.delete(name);
    if (!chosen.size) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [name, chosen, acknowledged]);
  useEffect(() => {
    fail(null);
    if (!chosen.size || !isOpen(report.status)) {
      show(null);
      wait(false);
      return;
    }
    const stop = new AbortController();
    wait(true);
    const timer = setTimeout(() => {
      post<Reviewed>(`/v1/reports/${report.id}/review`, { revision: report.revision, sentences: decisions() }, stop.signal).then(
        (answer) => {
          show(answer);
          wait(false);
        },
        (error: unknown) => {
          if (stop.signal.aborted) return;
          show(null);
          wait(false);
          fail(error instanceof Problem ? error : new Problem(0, "screen-error", "The text could not be reviewed", String(error), ""));
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [chosen, report.id, report.revision]);

  const concerns = reviewed?.concerns ?? report.concerns;
  const waiting = report.sentences.filter((one) => one.concerns.length && !chosen.has(one.number));
  const texts = new Set(waiting.map((one) => one.text));
  const ofSentences = reviewed?.sentences ?? report.sentences;
  const ids = new Set(ofSentences.filter((one) => texts.has(one.text)).flatMap((one) => one.concerns));
  return {
    chosen,
    acknowledged,
    choose: (sentence, choice, text = "") =>
      change((before) => {
        const after = new Map(before);
        if (choice === null) after.delete(sentence);
        else after.set(sentence, { choice, text });
        return after;
      }),
    acknowledge: (id, on) =>
      mark((before) => {
        const after = new Set(before);
        if (on) after.add(id);
        else after.delete(id);
        return after;
      }),
    undecided: waiting,
    others: concerns.filter((one) => !ids.has(one.id)),
    reviewed,
    checking,
    problem,
    decisions,
    forget,
  };
}
