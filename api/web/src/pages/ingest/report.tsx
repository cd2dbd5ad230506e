// What an ingest did, or would do: counts, reasons with counts, and what is withheld and why.
import { count, plural } from "../../format";
import { Icon } from "../../parts/icon";
import { Table } from "../../parts/table";
import { href } from "../../router";
import type { IngestReport, Refusal } from "./jobs";

const MOST_NAMED = 20;

export function Report({ report }: { report: IngestReport }) {
  const most = report.at_most ? "at most " : "";
  const left = report.skipped.length + report.quarantined.length;
  const rows: [string, string][] = [
    ["Files", count(report.files)],
    [report.dry_run ? "Would be embedded" : "Embedded", count(report.files_embedded)],
    ["Unchanged", count(report.files_unchanged)],
    ["Skipped", count(report.skipped.length)],
    ["Quarantined", count(report.quarantined.length)],
    ["Studies", count(report.studies)],
    ["Series", count(report.series)],
    ["Images", `${most}${count(report.images)}`],
    [report.dry_run ? "Images to embed" : "Images embedded", `${most}${count(report.embedded)}`],
  ];
  return (
    <div class="ingest-report">
      <dl class="figures">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {!report.dry_run && report.embedded > 0 && (
        <p>
          <a href={href("cases", "", { sort: "-added_at" })}>Show the newest cases</a>
        </p>
      )}
      <Reasons title="Skipped: no picture, or not DICOM" all={report.skipped} />
      <Reasons title="Quarantined: pictures that cannot be used" all={report.quarantined} />
      {!left && report.files > 0 && <p class="quiet">No file was left out.</p>}
      {report.withheld && report.withheld.length > 0 && (
        <section>
          <h3>
            <Icon name="lock" /> Withheld: embedded, but not shown
          </h3>
          <ul>
            {report.withheld.map((one) => (
              <li key={one.burned_in}>
                {plural(one.files, "file")}: {one.reason}.{" "}
                {!report.dry_run && <a href={href("cases", "", { where: [`quality.burned_in=${one.burned_in}`] })}>Show these cases</a>}
              </li>
            ))}
          </ul>
        </section>
      )}
      {report.warnings.length > 0 && (
        <details open={report.warnings.length <= 5}>
          <summary>{plural(report.warnings.length, "warning")}</summary>
          <ul>
            {report.warnings.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        </details>
      )}
      {Boolean(report.routed) && <p>Routing rules ordered {plural(report.routed ?? 0, "draft")}.</p>}
    </div>
  );
}

interface Group {
  code: string;
  reason: string;
  files: Refusal[];
}

/** Reasons by code, the most frequent first, with the first files of each. */
function Reasons({ title, all }: { title: string; all: readonly Refusal[] }) {
  if (!all.length) return null;
  const groups = new Map<string, Group>();
  for (const one of all) {
    const group = groups.get(one.code) ?? { code: one.code, reason: one.reason, files: [] };
    group.files.push(one);
    groups.set(one.code, group);
  }
  const rows = [...groups.values()].sort((a, b) => b.files.length - a.files.length);
  return (
    <section>
      <h3>{title}</h3>
      <Table
        caption={title}
        rows={rows}
        rowKey={(row) => row.code}
        columns={[
          { name: "files", title: "Files", number: true, show: (row) => count(row.files.length) },
          { name: "reason", title: "Why", show: (row) => row.reason },
          { name: "code", title: "Code", show: (row) => <code>{row.code}</code> },
          { name: "named", title: "Which", show: (row) => <Named files={row.files} /> },
        ]}
      />
    </section>
  );
}

function Named({ files }: { files: readonly Refusal[] }) {
  const named = files.filter((one) => one.path);
  if (!named.length) return <span class="quiet">paths are shown to administrators</span>;
  return (
    <details>
      <summary>{plural(named.length, "file")}</summary>
      <ul class="plain paths">
        {named.slice(0, MOST_NAMED).map((one) => (
          <li key={one.path}>
            <code>{one.path}</code>
          </li>
        ))}
        {named.length > MOST_NAMED && <li>and {count(named.length - MOST_NAMED)} more, which the job's JSON lists</li>}
      </ul>
    </details>
  );
}
