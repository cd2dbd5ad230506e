// What the page asks of the service, and how its own address says what is labelled.
import { get, post } from "../../http";
import type { Place } from "../../router";
import type { Case } from "../../types";

export const ORDERS = ["uncertainty", "diversity", "random", "disagreement"] as const;
export type Order = (typeof ORDERS)[number];
export const ORDER_WORDS: Record<Order, string> = {
  uncertainty: "what the model is least sure of",
  diversity: "what is unlike all that is labelled",
  random: "at random",
  disagreement: "what readers contradict each other about",
};

/** As many labels have a number key. */
export const MOST_LABELS = 9;
const AT_ONCE = 20;

/** What is labelled: by the address of the page alone, so that a colleague gets the same queue. */
export interface Task {
  labels: string[];
  order: Order;
  seed: number;
  where: string[];
  /** Show what the model says: off, as it would lead the reader. */
  score: boolean;
}

export function taskOf({ query }: Place): Task {
  const order = query.get("order") as Order | null;
  const seed = Number(query.get("seed"));
  return {
    labels: [...new Set(query.getAll("label").map((one) => one.trim()))].filter(Boolean).slice(0, MOST_LABELS),
    order: order && ORDERS.includes(order) ? order : "uncertainty",
    seed: Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31 ? seed : 0,
    where: query.getAll("where").filter(Boolean),
    score: query.get("score") === "1",
  };
}

export interface Queue {
  label: string;
  order: Order;
  cases: Case[];
  labelled: number;
  remaining: number;
  by: string | null;
  warnings: string[];
}

const asked = (task: Task) => ({ label: task.labels[0], order: task.order, seed: task.seed, limit: AT_ONCE, where: task.where });

/** The next cases; by the first of the labels. */
export const askQueue = (task: Task, signal?: AbortSignal): Promise<Queue> => get<Queue>("/v1/label-queue", asked(task), signal);

export const queueAddress = (task: Task): string => {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(asked(task))) {
    for (const one of Array.isArray(value) ? value : [value]) words.append(name, String(one));
  }
  return `/v1/label-queue?${words}`;
};

/** What is said of a label: that it is so, that it is not, or nothing. */
export type Said = 1 | 0 | null;
export type Values = Record<string, Said>;

/** Give a case labels; a null takes one back. */
export const give = (uid: string, values: Values): Promise<unknown> =>
  post("/v1/labels", {
    rows: Object.entries(values).map(([label, value]) => ({ study_instance_uid: uid, label, value })),
  });

export interface Undone {
  studies: string[];
  labels: string[];
  cases: number;
}

export const undo = (): Promise<Undone> => post<Undone>("/v1/labels/undo");

export interface StoredLabel {
  label: string;
  level: string;
  n: number;
  positive: number;
}

export interface Pair {
  readers: [string, string];
  n: number;
  agreement: number | null;
  kappa: number | null;
  kappa_ci: [number | null, number | null];
}

export interface Agreement {
  label: string;
  readers: string[];
  cases: number;
  patients: number;
  alpha: number | null;
  alpha_ci: [number | null, number | null];
  pairs: Pair[];
  disagreements: string[];
  undecided: number;
  warnings: string[];
}

export interface Step {
  n: number;
  positive: number;
  auroc: number | null;
  auroc_ci: [number | null, number | null];
}

export interface Curve {
  label: string;
  points: Step[];
  warnings: string[];
}

const ofLabel = (label: string, what: string) => `/v1/labels/${encodeURIComponent(label)}/${what}`;
export const agreementAddress = (label: string): string => ofLabel(label, "agreement");
export const curveAddress = (label: string): string => ofLabel(label, "learning-curve");
