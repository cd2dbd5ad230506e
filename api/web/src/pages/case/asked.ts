// What a case is asked: a prompt set, a probe or labels of one's own, as one word of the address.
import { get, post } from "../../http";
import type { Verdict } from "../../parts/bar";

export interface Score {
  label: string;
  probability: number;
  calibrated: boolean;
  cosine: number | null;
  fits?: boolean | null;
  verdict?: Verdict | null;
  driving?: { image_id: number | null; sop_instance_uid: string; frame: number } | null;
}

export interface Scores {
  space: string;
  name?: string;
  pooling?: string;
  scores: Score[];
  in_scope?: boolean | null;
  trained_on?: boolean | null;
  by_image?: { image_ids: number[]; probability: Record<string, (number | null)[]> };
  warnings?: string[];
}

export interface PromptSet {
  name: string;
  labels: string[];
  exclusive: boolean;
  modalities: string[];
  regions: string[];
}

export interface ProbeSummary {
  name: string;
  space: string;
  labels: string[];
}

export interface Askable {
  prompts: PromptSet[];
  probes: ProbeSummary[];
}

export async function askable(signal: AbortSignal): Promise<Askable> {
  const [sets, probes] = await Promise.all([
    get<{ prompt_sets: PromptSet[] }>("/v1/prompt-sets", {}, signal),
    get<{ probes: ProbeSummary[] }>("/v1/probes", {}, signal),
  ]);
  return { prompts: sets.prompt_sets, probes: probes.probes };
}

/** The question that suits a study best: a set made for its modality, else one for any, else a probe. */
export function usual(known: Askable, modalities: readonly string[], demonstration: boolean): string | null {
  const suits = (set: PromptSet) => set.modalities.some((one) => modalities.includes(one));
  const any = (set: PromptSet) => set.modalities.length === 0 && set.regions.length === 0;
  const found =
    (demonstration ? known.prompts.find((set) => set.name === "phantoms") : undefined) ??
    known.prompts.find((set) => suits(set) && !set.exclusive) ??
    known.prompts.find(suits) ??
    known.prompts.find(any);
  if (found) return `prompts:${found.name}`;
  return known.probes[0] ? `probe:${known.probes[0].name}` : null;
}

/** Ask about a study, with the scores of each of its images. */
export function ask(study: string, question: string, signal: AbortSignal): Promise<Scores> {
  const colon = question.indexOf(":");
  const [kind, name] = [question.slice(0, colon), question.slice(colon + 1)];
  const about = kind === "labels" ? { labels: labelsOf(name) } : kind === "probe" ? { probe: name } : { prompts: name };
  return post<Scores>("/v1/classify", { study_instance_uid: study, ...about, by_image: true }, signal);
}

export const labelsOf = (text: string): string[] =>
  text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);

interface Bin {
  low: number;
  high: number;
  n: number;
  ci: [number, number];
}

interface Calibrations {
  calibrations: { subject: string; level: string; active?: boolean; labels: { label: string; version: number; reliability?: Bin[] }[] }[];
}

/**
 * For a calibrated probability, how often cases that scored like this were positive: the 95 % interval of its
 * bin, out of fold by patient.
 */
export async function intervalsOf(question: string, signal: AbortSignal): Promise<(label: string, p: number) => Bin | null> {
  const subject = question.startsWith("labels:") ? "labels" : question;
  const found = await get<Calibrations>("/v1/calibrations", {}, signal);
  const own = found.calibrations.filter((one) => one.subject === subject && one.level === "study" && one.active !== false);
  return (label, p) => {
    const entries = own.flatMap((one) => one.labels.filter((each) => each.label === label));
    const newest = entries.sort((a, b) => b.version - a.version)[0];
    return newest?.reliability?.find((bin) => p >= bin.low && p <= bin.high) ?? null;
  };
}
