// What the service answers, as far as several pages use it.

export interface Case {
  study_instance_uid: string;
  patient_key: string;
  patient_age: number | null;
  patient_sex: string | null;
  study_date: string | null;
  study_description: string | null;
  added_at: string;
  modalities: string[];
  body_parts: string[];
  series: number;
  images: number;
  labels: Record<string, number>;
  image_id: number | null;
  withheld: boolean;
  quality: string[];
  drafts: number;
}

export interface CasePage {
  cases: Case[];
  total: number;
  total_capped: boolean;
  cursor: string | null;
  warnings?: string[];
  removed_by?: { where: string; cases: number }[];
}

export interface Session {
  key_id: string;
  name: string;
  scopes: string[];
  expires_at: string | null;
  /** No key was ever made: everybody on this machine may do everything. */
  open?: boolean;
}

export interface Info {
  version: string;
  model: string;
  space: string;
  demonstration: boolean;
  prompt_sets: string[];
  /** How much of what names persons the archive keeps; null before its first ingest. */
  phi?: "pseudonymous" | "keep" | "strict" | null;
  /** Other viewers of cases; `{study}` stands for a StudyInstanceUID. */
  viewers?: { name: string; url: string }[];
  index: { studies: number; series: number; images: number; [name: string]: unknown };
}

export interface Job {
  id: string;
  kind: string;
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: { done: number; total: number | null; stage: string };
  result: unknown;
  error: { code: string; reason?: string; detail?: string } | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
}

export interface Hit {
  rank: number;
  score: number;
  image_id: number;
  study_instance_uid: string;
  series_instance_uid: string;
  sop_instance_uid: string;
  frame: number;
  modality: string | null;
  patient_key: string;
  labels: Record<string, number>;
  percentile?: number | null;
}
