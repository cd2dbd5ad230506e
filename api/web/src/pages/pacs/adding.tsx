// A connection is added: what a browser may say of it. Secrets are named on the command line of the service's machine.
import { useState } from "preact/hooks";
import { Problem, put } from "../../http";
import { announce } from "../../parts/announce";
import { Failed } from "../../parts/states";
import { pathOf, type Connection } from "./pacs";

interface Form {
  name: string;
  kind: Connection["kind"];
  url: string;
  changes_url: string;
  host: string;
  port: string;
  ae_title: string;
  calling_ae_title: string;
  tls: boolean;
  retrieve: "get" | "move";
  move_destination: string;
  rate: string;
  hours: string;
  timeout_seconds: string;
  keep_files: boolean;
  send_sr: boolean;
  send_pdf: boolean;
}

const EMPTY: Form = {
  name: "",
  kind: "dicomweb",
  url: "",
  changes_url: "",
  host: "",
  port: "104",
  ae_title: "",
  calling_ae_title: "MEDSIGLIP",
  tls: false,
  retrieve: "get",
  move_destination: "",
  rate: "",
  hours: "",
  timeout_seconds: "",
  keep_files: true,
  send_sr: false,
  send_pdf: false,
};

// Options that were left as they are by default are not sent.
function optionsOf(form: Form): Record<string, unknown> {
  const text = (name: keyof Form) => String(form[name]).trim();
  const given: Record<string, unknown> = { kind: form.kind };
  const add = (name: keyof Form, value: unknown = text(name)) => {
    if (value !== "") given[name] = value;
  };
  if (form.kind === "dicomweb") {
    add("url");
    add("changes_url");
  } else {
    add("host");
    add("port", Number(form.port));
    add("ae_title");
    add("calling_ae_title");
    if (form.tls) given.tls = true;
    if (form.retrieve === "move") {
      given.retrieve = "move";
      add("move_destination");
    }
  }
  if (form.rate) given.rate = Number(form.rate);
  add("hours");
  if (form.timeout_seconds) given.timeout_seconds = Number(form.timeout_seconds);
  if (!form.keep_files) given.keep_files = false;
  const documents = [...(form.send_sr ? ["sr"] : []), ...(form.send_pdf ? ["pdf"] : [])];
  if (documents.length) given.send_accepted = documents;
  return given;
}

export function AddConnection({ known, added }: { known: readonly string[]; added: () => void }) {
  const [form, write] = useState<Form>(EMPTY);
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const set = (changes: Partial<Form>) => write((before) => ({ ...before, ...changes }));
  const name = form.name.trim();
  const submit = (event: Event) => {
    event.preventDefault();
    wait(true);
    tell(null);
    put(pathOf(name), optionsOf(form))
      .then(
        () => {
          announce(`The connection ${name} is kept; Echo asks whether it answers`);
          write(EMPTY);
          added();
        },
        (error: unknown) => tell(error instanceof Problem ? error : null),
      )
      .finally(() => wait(false));
  };
  return (
    <details class="card pacs-add">
      <summary>
        <h2>Add a connection</h2>
      </summary>
      <form onSubmit={submit} aria-label="Add a connection">
        <div class="row">
          <Field label="Name" value={form.name} write={(value) => set({ name: value })} required placeholder="main" most={100} />
          <fieldset class="row">
            <legend>Reached by</legend>
            {(["dicomweb", "dimse"] as const).map((kind) => (
              <label key={kind}>
                <input type="radio" name="kind" checked={form.kind === kind} onChange={() => set({ kind })} />{" "}
                {kind === "dicomweb" ? "DICOMweb" : "DIMSE (AE title)"}
              </label>
            ))}
          </fieldset>
        </div>
        {form.kind === "dicomweb" ? <Web form={form} set={set} /> : <Dimse form={form} set={set} />}
        <Pace form={form} set={set} />
        <p class="quiet">
          Certificates, tokens and passwords are not given here: a browser must not name files of the service's machine. There,{" "}
          <code>medsiglip pacs add NAME --url URL --token-file FILE</code> and the like name them; <code>medsiglip pacs add --help</code> lists
          them all.
        </p>
        {known.includes(name) && <p class="must">There is a connection {name}: its options are replaced.</p>}
        <button type="submit" class="primary" disabled={busy || !name}>
          {known.includes(name) ? "Replace the connection" : "Add the connection"}
        </button>
        {problem && <Failed problem={problem} />}
      </form>
    </details>
  );
}

interface PartProps {
  form: Form;
  set: (changes: Partial<Form>) => void;
}

function Web({ form, set }: PartProps) {
  return (
    <div class="row">
      <Field label="URL of its DICOMweb service" value={form.url} write={(url) => set({ url })} required size={40} placeholder="https://pacs.example/dicom-web" most={2000} />
      <Field label="Orthanc's REST API, for its list of changes" value={form.changes_url} write={(changes_url) => set({ changes_url })} size={30} placeholder="none" most={2000} />
    </div>
  );
}

function Dimse({ form, set }: PartProps) {
  return (
    <>
      <div class="row">
        <Field label="Host" value={form.host} write={(host) => set({ host })} required placeholder="pacs.example" most={253} />
        <Field label="Port" value={form.port} write={(port) => set({ port })} required number low={1} high={65535} />
        <Field label="Its AE title" value={form.ae_title} write={(ae_title) => set({ ae_title })} required placeholder="PACS" most={16} />
        <Field label="Our AE title" value={form.calling_ae_title} write={(calling_ae_title) => set({ calling_ae_title })} required most={16} />
        <Tick label="TLS" on={form.tls} turn={(tls) => set({ tls })} />
      </div>
      <div class="row">
        <label>
          Studies come by{" "}
          <select value={form.retrieve} onChange={(event) => set({ retrieve: event.currentTarget.value as Form["retrieve"] })}>
            <option value="get">C-GET</option>
            <option value="move">C-MOVE to the receiver</option>
          </select>
        </label>
        {form.retrieve === "move" && (
          <Field
            label="AE title by which the PACS knows the receiver"
            value={form.move_destination}
            write={(move_destination) => set({ move_destination })}
            required
            most={16}
          />
        )}
      </div>
    </>
  );
}

function Pace({ form, set }: PartProps) {
  return (
    <div class="row">
      <Field label="At most so many operations a second" value={form.rate} write={(rate) => set({ rate })} number low={0.01} high={100000} step="any" placeholder="no limit" />
      <Field label="Hours of a sync" value={form.hours} write={(hours) => set({ hours })} placeholder="20:00-06:00" most={11} size={12} />
      <Field label="Seconds without an answer" value={form.timeout_seconds} write={(timeout_seconds) => set({ timeout_seconds })} number low={1} high={3600} step="any" placeholder="30" />
      <Tick label="Files stay here after their pictures were embedded" on={form.keep_files} turn={(keep_files) => set({ keep_files })} />
      <fieldset class="row">
        <legend>Sent there when a draft is accepted</legend>
        <Tick label="DICOM SR" on={form.send_sr} turn={(send_sr) => set({ send_sr })} />
        <Tick label="PDF" on={form.send_pdf} turn={(send_pdf) => set({ send_pdf })} />
      </fieldset>
    </div>
  );
}

interface FieldProps {
  label: string;
  value: string;
  write: (value: string) => void;
  required?: boolean;
  number?: boolean;
  placeholder?: string;
  most?: number;
  size?: number;
  low?: number;
  high?: number;
  step?: string;
}

function Field({ label, value, write, required, number, placeholder, most, size, low, high, step }: FieldProps) {
  return (
    <label class="pacs-field">
      {label}{" "}
      {number ? (
        <input type="number" value={value} required={required} placeholder={placeholder} min={low} max={high} step={step} onInput={(event) => write(event.currentTarget.value)} />
      ) : (
        <input
          type="text"
          value={value}
          required={required}
          placeholder={placeholder}
          maxLength={most}
          size={size}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => write(event.currentTarget.value)}
        />
      )}
    </label>
  );
}

function Tick({ label, on, turn }: { label: string; on: boolean; turn: (on: boolean) => void }) {
  return (
    <label>
      <input type="checkbox" checked={on} onChange={(event) => turn(event.currentTarget.checked)} /> {label}
    </label>
  );
}
