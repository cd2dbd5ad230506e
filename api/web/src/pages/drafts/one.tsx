// One draft: its sentences, what each stands on, what must be decided, and what became of it.
import { useEffect, useState } from "preact/hooks";
import { age, date, moment, plural } from "../../format";
import { get, useLoad } from "../../http";
import { useKeys } from "../../keys";
import { AsData } from "../../parts/as_data";
import { Copy } from "../../parts/copy";
import { Icon } from "../../parts/icon";
import { ListState, Skeleton } from "../../parts/states";
import { href, navigate } from "../../router";
import { may, useKnown } from "../../session";
import { Accepting } from "./accepting";
import { useDeciding } from "./deciding";
import { Evidence } from "./evidence";
import { Exports } from "./exports";
import { History } from "./history";
import { isOpen, type Report } from "./report";
import { SendToPacs } from "./sending";
import { Sentences } from "./sentences";
import { Counts } from "./signs";

export function OneDraft({ id, query }: { id: string; query: URLSearchParams }) {
  const found = useLoad(`draft ${id}`, (signal) => get<Report>(`/v1/reports/${encodeURIComponent(id)}`, {}, signal));
  useKeys({ Escape: () => navigate(href("drafts")) });
  return (
    <>
      {(found.state === "error" || found.value === undefined) && <h1 class="unseen">Draft</h1>}
      <ListState of={found} skeleton={<Skeleton rows={10} />}>
        {(report) => <Shown key={report.id} loaded={report} query={query} reload={found.retry} />}
      </ListState>
    </>
  );
}

function Shown({ loaded, query, reload }: { loaded: Report; query: URLSearchParams; reload: () => void }) {
  const { session } = useKnown();
  const [report, change] = useState(loaded);
  useEffect(() => change(loaded), [loaded]);
  const deciding = useDeciding(report);
  const asked = query.get("sentence");
  const first = report.sentences.find((one) => one.concerns.length)?.number ?? 0;
  const selected = asked !== null && /^\d{1,6}$/.test(asked) ? Math.min(Number(asked), report.sentences.length - 1) : first;
  const mayReport = may(session, "report");
  const open = isOpen(report.status);
  return (
    <>
      <nav aria-label="Where this is">
        <a href={href("drafts")}>
          <Icon name="left" /> Drafts
        </a>
      </nav>
      <Head report={report} />
      <Warnings report={report} />
      <div class="draft">
        <div class="draft-text">
          <div class="row spread">
            <h2>{plural(report.sentences.length, "sentence")}</h2>
            {report.sentences.length > 0 && (
              <p class="quiet hint">
                <kbd>j</kbd> <kbd>k</kbd> go{open && mayReport ? <>, <kbd>n</kbd> next undecided, <kbd>1</kbd> keep, <kbd>2</kbd> edit, <kbd>3</kbd> cut</> : ""}
              </p>
            )}
          </div>
          <Sentences report={report} selected={selected} deciding={deciding} mayDecide={open && mayReport} />
          {open && !mayReport && <p class="quiet">Who decides about drafts needs a key with the scope report.</p>}
          {open && mayReport && <Accepting report={report} deciding={deciding} changed={change} reload={reload} />}
          {mayReport && <Exports report={report} />}
          {report.status === "accepted" && <SendToPacs report={report} />}
          <History steps={report.history} />
        </div>
        <Evidence report={report} sentence={report.sentences[selected]} />
      </div>
    </>
  );
}

function Head({ report }: { report: Report }) {
  const { study } = report;
  const verdicts: Record<string, number> = {};
  for (const one of report.sentences) verdicts[one.verdict] = (verdicts[one.verdict] ?? 0) + 1;
  return (
    <header>
      <div class="row spread">
        <h1>
          {report.status === "accepted" ? "Report" : "Draft"} <span class={`status draft-${report.status}`}>{report.status}</span>
        </h1>
        <AsData json={`/v1/reports/${report.id}`} command={`medsiglip report show ${report.id}`} />
      </div>
      <dl class="facts">
        <div>
          <dt>Study</dt>
          <dd class="uid">
            <a href={href("cases", report.study_instance_uid)}>{report.study_instance_uid}</a>
            <Copy text={report.study_instance_uid} what="the UID of the study" />
          </dd>
        </div>
        <div>
          <dt>Picture</dt>
          <dd>{[study.modality, study.region ?? study.body_part_examined].filter(Boolean).join(", ") || "–"}</dd>
        </div>
        <div>
          <dt>Patient</dt>
          <dd>{[age(study.patient_age), study.patient_sex].filter((one) => one && one !== "–").join(", ") || "–"}</dd>
        </div>
        <div>
          <dt>Study date</dt>
          <dd>{date(study.study_date)}</dd>
        </div>
        <div>
          <dt>Written by</dt>
          <dd>
            {report.generator}, {report.route ? `ordered by the route ${report.route}` : "ordered by hand"}, {moment(report.created_at)}
          </dd>
        </div>
        {study.indication && (
          <div>
            <dt>Indication</dt>
            <dd>{study.indication}</dd>
          </div>
        )}
        <div>
          <dt>Sentences</dt>
          <dd>
            <Counts of={verdicts} />
          </dd>
        </div>
      </dl>
    </header>
  );
}

function Warnings({ report }: { report: Report }) {
  const all = [...report.warnings, ...(report.study.region_conflict ? [report.study.region_conflict] : [])];
  if (!all.length && !report.superseded_by && !report.supersedes) return null;
  return (
    <section class="card warnings" aria-label="Warnings">
      {report.superseded_by && (
        <p>
          An addendum stands in place of this one: <a href={href("drafts", report.superseded_by)}>open it</a>.
        </p>
      )}
      {report.supersedes && (
        <p>
          This is an addendum: <a href={href("drafts", report.supersedes)}>the report before it</a>.
        </p>
      )}
      {all.map((one) => (
        <p key={one}>
          <Icon name="warning" /> {one}
        </p>
      ))}
    </section>
  );
}
