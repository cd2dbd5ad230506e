// What a PACS is asked names patients: it goes from page to page in memory, and stands in no address and no storage.

export interface PacsQuestion {
  patient_id: string;
  patient_name: string;
  accession_number: string;
  study_instance_uid: string;
  modality: string;
  study_description: string;
  from_date: string;
  to_date: string;
}

export const NOTHING_ASKED: PacsQuestion = {
  patient_id: "",
  patient_name: "",
  accession_number: "",
  study_instance_uid: "",
  modality: "",
  study_description: "",
  from_date: "",
  to_date: "",
};

// Components of digits (DICOM PS3.5, section 9.1); those below 2.25 are made of one large number (annex B.2).
const UID = /^(?:[0-9]+(?:\.[0-9]+){3,}|2\.25\.[0-9]{10,})$/;
// IDs of patients and accession numbers hold digits and no spaces; words, years and sizes of a question do not pass.
const ID = /^(?=(?:[^0-9]*[0-9]){4})(?![0-9]{4}$)[A-Za-z0-9][A-Za-z0-9._/^-]{3,63}$/;

export const looksLikeUid = (text: string): boolean => text.length <= 64 && UID.test(text);
export const looksLikeId = (text: string): boolean => text.length <= 64 && ID.test(text);

/** The question that a text asks that was typed elsewhere. */
export const questionOfText = (text: string): PacsQuestion => ({
  ...NOTHING_ASKED,
  ...(looksLikeUid(text) ? { study_instance_uid: text } : { patient_id: text }),
});

let held: PacsQuestion | null = null;
const listeners = new Set<() => void>();

/** Hand a question to the page PACS, which asks it at once. */
export function lookFor(question: PacsQuestion): void {
  held = question;
  listeners.forEach((one) => one());
}

/** The question, once. */
export function takeQuestion(): PacsQuestion | null {
  const question = held;
  held = null;
  return question;
}

/** Hear of questions that come while the page is shown already; returns how to stop. */
export function onQuestion(heard: () => void): () => void {
  listeners.add(heard);
  return () => listeners.delete(heard);
}

const memories = new Set<() => void>();

/** Call back when what was asked and found must be forgotten, as when somebody signs out. */
export function onForgetting(forget: () => void): void {
  memories.add(forget);
}

export function forgetQuestions(): void {
  held = null;
  memories.forEach((one) => one());
}
