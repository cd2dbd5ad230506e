// A question as the address holds it, as the service takes it, and as the command line asks it.
import { request } from "../../http";
import { setQuery } from "../../router";
import { quoted } from "../../parts/as_data";
import type { Hit } from "../../types";
import type { Background } from "./standing";

export const LEVELS = ["image", "series", "study"] as const;
export type Level = (typeof LEVELS)[number];
export type Kind = "text" | "image" | "study" | "query" | "positive" | "negative";

export interface Question {
  text: string;
  studies: string[];
  images: number[];
  /** Images by id and studies by UID. */
  more: string[];
  less: string[];
  weights: Partial<Record<Kind, number>>;
  level: Level | "";
  same: boolean;
  onePerPatient: boolean;
  where: string[];
}

export interface FoundHit extends Hit {
  pairs?: { query_image_id: number | null; image_id: number; cosine: number }[];
}

export interface Answer {
  level: Level;
  query: Record<string, unknown>;
  hits: FoundHit[];
  background: Background | null;
  cursor: string | null;
  in_scope?: boolean | null;
  warnings?: string[];
}

export const PAGE = 24;
/** What a part weighs where several are asked together and nobody said otherwise; examples as Rocchio's. */
export const USUAL: Record<Kind, number> = { text: 0.5, image: 0.5, study: 0.5, query: 1, positive: 0.75, negative: 0.15 };

export function questionOf(query: URLSearchParams): Question {
  const weights: Partial<Record<Kind, number>> = {};
  for (const one of query.getAll("w")) {
    const [kind, number] = one.split(":");
    if (kind && kind in USUAL && Number(number) > 0) weights[kind as Kind] = Number(number);
  }
  const level = query.get("level") as Level | null;
  return {
    text: query.get("text") ?? "",
    studies: query.getAll("study"),
    images: query.getAll("image").map(Number).filter((one) => one > 0),
    more: query.getAll("more"),
    less: query.getAll("less"),
    weights,
    level: level && LEVELS.includes(level) ? level : "",
    same: query.get("same") === "1",
    onePerPatient: query.get("per_patient") === "1",
    where: query.getAll("where"),
  };
}

/** The kinds that a question is made of. */
export function kindsOf(question: Question, files: number): Kind[] {
  const found: Kind[] = [];
  if (question.text) found.push("text");
  if (question.images.length || files) found.push("image");
  if (question.studies.length) found.push("study");
  return found;
}

export const isAsked = (question: Question, files: number): boolean => kindsOf(question, files).length > 0 || question.more.length > 0;

const example = (one: string): number | string => (/^\d+$/.test(one) ? Number(one) : one);

function weightsOf(question: Question, files: number): Partial<Record<Kind, number>> | undefined {
  const kinds = kindsOf(question, files);
  const found: Partial<Record<Kind, number>> = {};
  if (kinds.length > 1) kinds.forEach((kind) => (found[kind] = question.weights[kind] ?? USUAL[kind]));
  if (question.more.length && question.weights.positive) found.positive = question.weights.positive;
  if (question.less.length && question.weights.negative) found.negative = question.weights.negative;
  if (kinds.length && (question.more.length || question.less.length) && question.weights.query) found.query = question.weights.query;
  return Object.keys(found).length ? found : undefined;
}

/** The fields of POST /v1/search. */
export function fieldsOf(question: Question, files: number, cursor: string | null): Record<string, unknown> {
  const [study, image] = [question.studies, question.images];
  const fields: Record<string, unknown> = {
    text: question.text || undefined,
    study_instance_uid: study.length === 1 ? study[0] : undefined,
    study_instance_uids: study.length > 1 ? study : undefined,
    image_id: image.length === 1 ? image[0] : undefined,
    image_ids: image.length > 1 ? image : undefined,
    positive: question.more.length ? question.more.map(example) : undefined,
    negative: question.less.length ? question.less.map(example) : undefined,
    weights: weightsOf(question, files),
    level: question.level || undefined,
    include_same_patient: question.same || undefined,
    per_patient: question.onePerPatient ? 1 : undefined,
    where: question.where.length ? question.where : undefined,
    k: PAGE,
    cursor: cursor ?? undefined,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

export async function search(question: Question, files: readonly File[], cursor: string | null, signal?: AbortSignal): Promise<Answer> {
  const fields = fieldsOf(question, files.length, cursor);
  if (!files.length) return (await (await request("POST", "/v1/search", { json: fields, signal })).json()) as Answer;
  const form = new FormData();
  files.forEach((file) => form.append("file", file));
  for (const [name, value] of Object.entries(fields)) {
    if (name === "weights") Object.entries(value as object).forEach(([kind, weight]) => form.append(name, `${kind}=${weight}`));
    else if (Array.isArray(value)) value.forEach((one) => form.append(name, String(one)));
    else form.append(name, String(value));
  }
  return (await (await request("POST", "/v1/search", { body: form, signal })).json()) as Answer;
}

/** The command that asks the same, but for dropped files. */
export function commandOf(question: Question): string {
  const words = ["medsiglip", "search"];
  const add = (option: string, ...values: (string | number)[]) => values.forEach((one) => words.push(option, quoted(String(one))));
  if (question.text) add("--text", question.text);
  add("--study", ...question.studies);
  add("--image-id", ...question.images);
  add("--positive", ...question.more);
  add("--negative", ...question.less);
  Object.entries(weightsOf(question, 0) ?? {}).forEach(([kind, weight]) => add("--weight", `${kind}=${weight}`));
  if (question.level) add("--level", question.level);
  if (question.onePerPatient) add("--per-patient", 1);
  add("--where", ...question.where);
  if (question.same) words.push("--include-same-patient");
  return words.join(" ");
}

/** Add or take away an example; what is liked is no longer disliked. */
export function like(question: Question, one: string, way: "more" | "less"): void {
  const other = way === "more" ? "less" : "more";
  setQuery({
    [way]: question[way].includes(one) ? question[way].filter((each) => each !== one) : [...question[way], one],
    [other]: question[other].filter((each) => each !== one),
    hit: null,
  });
}
