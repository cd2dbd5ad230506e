// What else there is about a case: each part is asked for when it is opened, so that opening a case shows the
// case alone, and the audit trail says who looked at more.
import type { ComponentChildren } from "preact";
import { Problem, post, useLoad } from "../../http";
import { age, date, moment, plural, shortUid } from "../../format";
import { href, setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { announce } from "../../parts/announce";
import { Failed, ListState } from "../../parts/states";
import { jobStarted } from "../../shell/job_bell";
import { Table } from "../../parts/table";
import { Thumbnail } from "../../parts/thumbnail";
import { get } from "../../http";
import type { Case, CasePage, Job } from "../../types";
import type { Study } from "./study";
import { useState } from "preact/hooks";

/** A part that is closed until the address says otherwise. */
export function Panel({ name, title, open, children }: { name: string; title: string; open: boolean; children: ComponentChildren }) {
  return (
    <details class="card panel" open={open}>
      <summary
        onClick={(event) => {
          event.preventDefault(); // the address decides
          setQuery({ [name]: open ? null : "1" }, { replace: true });
        }}
      >
        <h2>{title}</h2>
      </summary>
      {open && children}
    </details>
  );
}

export function OtherStudies({ study }: { study: Study }) {
  const where = `patient_key=${study.patient_key}`;
  const found = useLoad(`others ${study.study_instance_uid}`, (signal) => get<CasePage>("/v1/cases", { where, sort: "study_date", limit: 200 }, signal));
  return (
    <ListState of={found}>
      {(page) =>
        page.cases.length < 2 ? (
          <p class="quiet">No other study of this patient.</p>
        ) : (
          <ol class="plain timeline" aria-label="Studies of this patient in time">
            {page.cases.map((one) => (
              <li key={one.study_instance_uid} aria-current={one.study_instance_uid === study.study_instance_uid ? "true" : undefined}>
                <a href={href("cases", one.study_instance_uid)}>
                  <span class="timeline-picture">
                    <Thumbnail image={one.image_id} alt="" />
                  </span>
                  <span>
                    <strong>{date(one.study_date)}</strong> {apart(one, study)}
                    <span class="quiet">
                      {[one.modalities.join(", "), one.study_description, age(one.patient_age)].filter(Boolean).join(" · ")}
                    </span>
                  </span>
                </a>
              </li>
            ))}
          </ol>
        )
      }
    </ListState>
  );
}

// How long before or after the study that is shown.
function apart(one: Case, study: Study): string {
  if (one.study_instance_uid === study.study_instance_uid) return "(this one)";
  const days = (Date.parse(one.study_date ?? "") - Date.parse(study.study_date ?? "")) / 86_400_000;
  if (Number.isNaN(days)) return "";
  const far = Math.abs(days) < 60 ? plural(Math.round(Math.abs(days)), "day") : plural(Math.round(Math.abs(days) / 30.44), "month");
  return days === 0 ? "the same day" : days < 0 ? `${far} earlier` : `${far} later`;
}

interface ReaderLabel {
  name: string;
  value: number | null;
  /** Null or empty, and no time, where labels came before readers were noted. */
  reader: string | null;
  given_at: string | null;
  current: boolean;
}

export function Labels({ study, version }: { study: Study; version: number }) {
  const found = useLoad(`labels ${study.study_instance_uid} ${version}`, (signal) =>
    get<{ labels: ReaderLabel[] }>(`/v1/studies/${study.study_instance_uid}/labels`, {}, signal),
  );
  return (
    <ListState of={found}>
      {({ labels }) => {
        const current = labels.filter((one) => one.current);
        if (!current.length && !Object.keys(study.labels).length) return <p class="quiet">No label yet.</p>;
        if (!current.length) return <Stored labels={study.labels} />;
        return (
          <Table
            caption="Labels of this case by reader"
            rows={current}
            rowKey={(one) => `${one.name} ${one.reader}`}
            columns={[
              { name: "name", title: "Label", show: (one) => one.name },
              { name: "value", title: "Value", show: (one) => words(one.value) },
              { name: "reader", title: "Reader", show: (one) => one.reader || "imported" },
              { name: "given_at", title: "Given", show: (one) => moment(one.given_at) },
            ]}
          />
        );
      }}
    </ListState>
  );
}

const words = (value: number | null): string => (value === null ? "taken back" : value === 1 ? "yes" : value === 0 ? "no" : String(value));

function Stored({ labels }: { labels: Record<string, number> }) {
  return (
    <ul class="plain row">
      {Object.entries(labels).map(([name, value]) => (
        <li key={name} class="tag">
          {name}: {words(value)}
        </li>
      ))}
    </ul>
  );
}

export function GiveLabel({ study, given }: { study: Study; given: () => void }) {
  const { session } = useKnown();
  const [name, write] = useState("");
  const [problem, tell] = useState<Problem | null>(null);
  if (!may(session, "write")) return null;
  const give = (value: number) => {
    post("/v1/labels", { rows: [{ study_instance_uid: study.study_instance_uid, label: name.trim(), value }] }).then(
      () => {
        tell(null);
        announce(`${name.trim()}: ${words(value)} is saved`);
        write("");
        given();
      },
      (error: unknown) => tell(error as Problem),
    );
  };
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) give(1);
      }}
    >
      <input id="tag" value={name} list="known-labels" onInput={(event) => write(event.currentTarget.value)} placeholder="a label" aria-label="Label to give" maxLength={200} />
      <datalist id="known-labels">
        {Object.keys(study.labels).map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <button type="submit" disabled={!name.trim()}>
        Yes
      </button>
      <button type="button" disabled={!name.trim()} onClick={() => give(0)}>
        No
      </button>
      {problem && <Failed problem={problem} />}
    </form>
  );
}

interface DraftLine {
  id: string;
  status: string;
  route: string | null;
  generator: string;
  created_at: string;
}

export function Drafts({ study }: { study: Study }) {
  const { session } = useKnown();
  const uid = study.study_instance_uid;
  const found = useLoad(`drafts ${uid}`, (signal) => get<{ reports: DraftLine[] }>("/v1/reports", { study_instance_uid: uid, limit: 20 }, signal));
  const [ordered, order] = useState<Job | null>(null);
  const [problem, tell] = useState<Problem | null>(null);
  const draft = () =>
    post<Job>("/v1/reports", { study_instance_uid: uid }).then(
      (job) => {
        order(job);
        jobStarted();
        announce("A draft is ordered");
      },
      (error: unknown) => tell(error as Problem),
    );
  return (
    <>
      <ListState of={found}>
        {({ reports }) =>
          reports.length ? (
            <ul class="plain">
              {reports.map((one) => (
                <li key={one.id}>
                  <a href={href("drafts", one.id)}>{one.status}</a>, {one.route ?? one.generator}, {moment(one.created_at)}
                </li>
              ))}
            </ul>
          ) : (
            <p class="quiet">No draft yet.</p>
          )
        }
      </ListState>
      {may(session, "report") && !ordered && (
        <button type="button" onClick={draft}>
          Draft a report
        </button>
      )}
      {ordered && (
        <p>
          Ordered: <a href={href("drafts", ordered.id)}>open the draft</a> when it is made (see the bell), or <button type="button" onClick={found.retry}>look again</button>
        </p>
      )}
      {problem && <Failed problem={problem} />}
    </>
  );
}

interface Seen {
  events: { sequence: number; at: string; actor: string; name: string | null; action: string }[];
}

export function SeenBy({ study }: { study: Study }) {
  const uid = study.study_instance_uid;
  const found = useLoad(`seen ${uid}`, (signal) => get<Seen>(`/v1/studies/${uid}/audit`, {}, signal));
  return (
    <ListState of={found}>
      {({ events }) => (
        <Table
          caption={`Who has seen ${shortUid(uid)}`}
          rows={events}
          rowKey={(one) => one.sequence}
          columns={[
            { name: "at", title: "When", show: (one) => moment(one.at) },
            { name: "actor", title: "Who", show: (one) => one.name ?? one.actor },
            { name: "action", title: "What", show: (one) => one.action },
          ]}
        />
      )}
    </ListState>
  );
}
