// The form of a question. What is typed stays in memory: no field is completed by the browser, none is in the address.
import type { PacsQuestion } from "../../pacs_question";
import { useKnown } from "../../session";
import { Icon } from "../../parts/icon";

const MODALITIES = ["CR", "CT", "DX", "IO", "MG", "MR", "NM", "OP", "OPT", "PT", "PX", "RF", "SM", "SR", "US", "XA", "XC"];

export interface QuestionFormProps {
  question: PacsQuestion;
  write: (question: PacsQuestion) => void;
  busy: boolean;
  ask: () => void;
  clear: () => void;
}

export function QuestionForm({ question, write, busy, ask, clear }: QuestionFormProps) {
  const { info } = useKnown();
  const field = (name: keyof PacsQuestion, label: string, more: { most?: number; type?: "text" | "date"; list?: string; size?: number } = {}) => (
    <label class="pacs-field">
      {label}{" "}
      <input
        type={more.type ?? "text"}
        value={question[name]}
        maxLength={more.type === "date" ? undefined : (more.most ?? 64)}
        size={more.size}
        list={more.list}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => write({ ...question, [name]: event.currentTarget.value })}
      />
    </label>
  );
  const empty = Object.values(question).every((one) => !one.trim());
  const keeps = info?.phi === "keep";
  return (
    <form
      class="card pacs-question"
      role="search"
      aria-label="Question to the PACS"
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy && !empty) ask();
      }}
    >
      <div class="pacs-fields">
        {field("patient_id", "Patient ID")}
        {keeps && field("patient_name", "Patient's name", { most: 324 })}
        {field("accession_number", "Accession number", { most: 16 })}
        {field("study_instance_uid", "StudyInstanceUID")}
        {field("from_date", "Study date from", { type: "date" })}
        {field("to_date", "to", { type: "date" })}
        {field("modality", "Modality", { most: 16, list: "pacs-modalities", size: 6 })}
        {field("study_description", "Study description")}
      </div>
      <datalist id="pacs-modalities">
        {MODALITIES.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <div class="row">
        <button type="submit" class="primary" disabled={busy || empty}>
          <Icon name="search" /> Find
        </button>
        <button type="button" disabled={empty} onClick={clear}>
          Clear
        </button>
        <span class="quiet">The question is sent to the PACS; the audit trail keeps that it was asked, and not what.</span>
      </div>
    </form>
  );
}
