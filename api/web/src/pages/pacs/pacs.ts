// The exchange with PACS as the service answers it.
import type { IconName } from "../../parts/icon";

export interface Failure {
  code: string;
  message: string;
}

export interface Connection {
  name: string;
  kind: "dicomweb" | "dimse";
  state: "never" | "ok" | "failing";
  last_seen_at: string | null;
  failed_at: string | null;
  failure: Failure | null;
  studies: { waiting: number; here: number; incomplete: number; failed: number };
  deliveries: { waiting: number; sent: number; failed: number };
  syncing: boolean;
  /** How it is reached, without secrets: for the scope `admin`. */
  options?: Record<string, unknown> | null;
}

export interface Receiver {
  running: boolean;
  ae_title: string;
  port: number;
  associations: number;
  waiting_studies: number;
  received: number;
  failed: number;
  last_received_at: string | null;
}

export interface PacsList {
  connections: Connection[];
  receiver?: Receiver | null;
}

export interface FoundStudy {
  /** Null where the home hides the UIDs of a PACS. */
  study_instance_uid: string | null;
  patient_key?: string | null;
  patient_name?: string | null;
  patient_id?: string | null;
  accession_number?: string | null;
  study_date?: string | null;
  study_description?: string | null;
  modalities?: string[];
  series?: number | null;
  instances?: number | null;
  here: "no" | "part" | "all";
  images: number;
}

export interface FoundStudies {
  studies: FoundStudy[];
  truncated: boolean;
}

export type LedgerStatus = "waiting" | "here" | "incomplete" | "failed" | "forgotten";

export interface LedgerStudy {
  study_instance_uid: string;
  status: LedgerStatus;
  expected: number | null;
  received: number;
  attempts: number;
  not_before: string | null;
  failure: Failure | null;
  found_at: string;
  changed_at: string;
}

export interface Delivery {
  id: string;
  to: string;
  draft_id: string;
  format: "sr" | "pdf";
  sop_instance_uid: string;
  status: "waiting" | "sent" | "failed";
  attempts: number;
  failure: Failure | null;
  created_at: string;
  sent_at: string | null;
}

/** What a pull or a sync did. */
export interface PullReport {
  asked: number;
  here: number;
  incomplete?: { study_instance_uid: string; expected: number | null; received: number }[];
  failed?: { study_instance_uid: string; code: string; message: string }[];
  instances?: number;
  /** Of a sync: how many studies of the PACS were compared. */
  found?: number;
  waiting?: number;
}

export const KINDS: Record<Connection["kind"], string> = { dicomweb: "DICOMweb", dimse: "DIMSE" };

type Sign = readonly [icon: IconName, word: string, tone: string];

export const STATES: Record<Connection["state"], Sign> = {
  never: ["dash", "never used", "quiet"],
  ok: ["check", "answers", "good"],
  failing: ["warning", "failing", "bad"],
};

export const PRESENCE: Record<FoundStudy["here"], Sign> = {
  no: ["dash", "not here", "quiet"],
  part: ["question", "here in part", "unsure"],
  all: ["check", "here", "good"],
};

export const STATUSES: Record<LedgerStatus, Sign> = {
  waiting: ["dash", "waiting", "quiet"],
  here: ["check", "here", "good"],
  incomplete: ["question", "incomplete", "unsure"],
  failed: ["warning", "failed", "bad"],
  forgotten: ["cross", "forgotten", "quiet"],
};

export const DELIVERED: Record<Delivery["status"], Sign> = {
  waiting: ["dash", "waiting", "quiet"],
  sent: ["check", "sent", "good"],
  failed: ["warning", "failed", "bad"],
};

export const FORMATS: Record<Delivery["format"], string> = { sr: "DICOM SR", pdf: "PDF" };

/** The path of a connection below the service. */
export const pathOf = (name: string, rest = ""): string => `/v1/pacs/${encodeURIComponent(name)}${rest}`;

/** A date of DICOM as people write it; what is no such date stays as it is. */
export const dicomDate = (text: string | null | undefined): string =>
  text ? text.replace(/^(\d{4})(\d{2})(\d{2})$/, "$1-$2-$3") : "–";
