// Drafts as the service answers them, as far as this page shows them.
import type { IconName } from "../../parts/icon";

export type Verdict = "agree" | "contradict" | "doubtful" | "unsupported" | "not-checkable";
export type Status = "draft" | "edited" | "accepted" | "rejected";
export type Choice = "keep" | "edit" | "cut";

export interface Sentence {
  number: number;
  start: number;
  end: number;
  text: string;
  line_breaks: number;
  heading: string;
  verdict: Verdict;
  findings: string[];
  flags: string[];
  image_ids: number[];
  concerns: string[];
}

export interface Concern {
  id: string;
  kind: string;
  sentence: string;
  quote: string | null;
}

export interface Finding {
  label: string;
  probability: number;
  present: boolean | null;
  source: string;
  image_id: number;
  calibrated: boolean;
  name: string;
  state: string;
  picture: string;
}

export interface Check {
  sentence: string;
  start: number;
  end: number;
  finding: string | null;
  verdict: Verdict;
  probability: number | null;
  flags: string[];
  attributes: { kind: string; text: string; verdict: string; known: string | null }[];
}

export interface Decision {
  sentence: number;
  choice: Choice;
  text?: string | null;
  quote?: string | null;
}

export interface Revision {
  status: Status;
  by: string;
  at: string;
  text: string | null;
  difference: string | null;
  reason: string | null;
  acknowledged: Concern[];
  decisions: Decision[];
}

export interface Report {
  id: string;
  study_instance_uid: string;
  status: Status;
  route: string | null;
  generator: string;
  text: string;
  findings: Finding[];
  evidence: { study_instance_uid: string; score: number; text: string | null; labels: Record<string, number> }[];
  checks: Check[];
  omissions: { finding: string; reason: string; source: string; probability: number | null; calibrated: boolean }[];
  incomplete: string | null;
  concerns: Concern[];
  sentences: Sentence[];
  supersedes: string | null;
  superseded_by: string | null;
  warnings: string[];
  images: { image_id: number; labels: string[]; slice_number: number | null; slice_count: number | null }[];
  study: {
    modality: string | null;
    body_part_examined: string | null;
    study_date: string | null;
    patient_age: number | null;
    patient_sex: string | null;
    indication: string | null;
    region: string | null;
    region_conflict: string | null;
    not_scored: string[];
    prior: { study_instance_uid: string; study_date: string | null; text: string | null } | null;
  };
  revision: number;
  created_at: string;
  history: Revision[];
}

export interface ReportLine {
  id: string;
  study_instance_uid: string;
  status: Status;
  route: string | null;
  generator: string;
  text: string;
  created_at: string;
  incomplete: string | null;
  superseded_by: string | null;
  verdicts: Partial<Record<Verdict, number>>;
}

export interface Reviewed {
  text: string;
  difference: string | null;
  sentences: Sentence[];
  concerns: Concern[];
  settled: Concern[];
  incomplete: string | null;
}

/** The most serious first. */
export const VERDICTS: readonly Verdict[] = ["contradict", "doubtful", "unsupported", "agree", "not-checkable"];

export const SIGNS: Record<Verdict, { icon: IconName; word: string; means: string }> = {
  contradict: { icon: "cross", word: "contradicts", means: "what is scored, or known of the study, says otherwise" },
  doubtful: { icon: "question", word: "doubtful", means: "it is suspected against a low score" },
  unsupported: { icon: "warning", word: "unsupported", means: "nothing scored this finding" },
  agree: { icon: "check", word: "agrees", means: "the scores say the same" },
  "not-checkable": { icon: "dash", word: "not checkable", means: "no score can be compared with it" },
};

const FLAGS: Record<string, string> = {
  "temporal-without-prior": "speaks of change, but there is no prior study",
  "other-modality": "fits another modality",
  "flipped-by-context": "says otherwise when drafted without similar cases",
  "copied-from-similar-case": "stands in the report of a similar case",
  quoted: "quoted, so not held against the draft",
  "other-language": "in another language, so not checked",
  "other-patient": "names a person",
  "wrong-side": "another side is known",
  "wrong-size": "another size is known",
  "wrong-number": "another number is known",
};

export const flagWords = (flag: string): string => FLAGS[flag] ?? flag.replace(/-/g, " ");

export const isOpen = (status: Status): boolean => status === "draft" || status === "edited";
