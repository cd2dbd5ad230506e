// What a pull or a sync did: what is here now, what came in part, what failed and why.
import { count, plural, shortUid } from "../../format";
import { Table } from "../../parts/table";
import { href } from "../../router";
import type { PullReport } from "./pacs";

const MOST_NAMED = 100;

interface Left {
  study_instance_uid: string;
  why: string;
  code: string;
}

export function Pulled({ report }: { report: PullReport }) {
  const incomplete = report.incomplete ?? [];
  const failed = report.failed ?? [];
  const rows: [string, number | undefined][] = [
    ["Compared at the PACS", report.found],
    ["Asked for", report.asked],
    ["Here whole", report.here],
    ["Incomplete", incomplete.length],
    ["Failed", failed.length],
    ["Still waiting", report.waiting],
    ["Instances came", report.instances],
  ];
  const left: Left[] = [
    ...failed.map((one) => ({ study_instance_uid: one.study_instance_uid, why: one.message, code: one.code })),
    ...incomplete.map((one) => ({
      study_instance_uid: one.study_instance_uid,
      why: `${count(one.received)} of ${one.expected === null ? "an unknown number of" : count(one.expected)} instances came.`,
      code: "incomplete",
    })),
  ];
  return (
    <div class="ingest-report">
      <dl class="figures">
        {rows.map(
          ([name, value]) =>
            value !== undefined && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{count(value)}</dd>
              </div>
            ),
        )}
      </dl>
      {(report.instances ?? 0) > 0 && (
        <p>
          <a href={href("cases", "", { sort: "-added_at" })}>Show the newest cases</a>
        </p>
      )}
      {left.length > 0 && (
        <Table
          caption="Studies that are not here whole"
          rows={left.slice(0, MOST_NAMED)}
          rowKey={(one) => one.study_instance_uid}
          columns={[
            { name: "uid", title: "Study", show: (one) => <code title={one.study_instance_uid}>{shortUid(one.study_instance_uid)}</code> },
            { name: "why", title: "Why", show: (one) => one.why },
            { name: "code", title: "Code", show: (one) => <code>{one.code}</code> },
          ]}
        />
      )}
      {left.length > MOST_NAMED && <p class="quiet">and {plural(left.length - MOST_NAMED, "more study", "more studies")}, which the job's JSON lists.</p>}
    </div>
  );
}
