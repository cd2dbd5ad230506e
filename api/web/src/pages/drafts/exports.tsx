// A draft as a file, of the formats that its status allows.
import { useState } from "preact/hooks";
import { Problem, request } from "../../http";
import { announce } from "../../parts/announce";
import { Failed } from "../../parts/states";
import type { Report } from "./report";

const FORMATS: readonly [string, string, string][] = [
  ["pdf", "PDF", ".pdf"],
  ["sr", "DICOM SR", ".dcm"],
  ["dicom-pdf", "PDF in DICOM", ".dcm"],
  ["fhir", "FHIR", ".json"],
  ["markdown", "Markdown", ".md"],
];

export function Exports({ report }: { report: Report }) {
  const [problem, fail] = useState<Problem | null>(null);
  const formats = report.status === "rejected" ? FORMATS.filter(([name]) => name === "markdown") : FORMATS;
  const save = async (format: string, suffix: string) => {
    fail(null);
    try {
      const answer = await request("GET", `/v1/reports/${report.id}/export`, { query: { format }, headers: { Accept: "*/*" } });
      const url = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `draft-${report.id}${suffix}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      announce("The file was saved");
    } catch (error) {
      if (error instanceof Problem) fail(error);
    }
  };
  return (
    <section aria-label="Exports">
      <h2>Export</h2>
      <div class="row">
        {formats.map(([name, word, suffix]) => (
          <button key={name} type="button" onClick={() => void save(name, suffix)}>
            {word}
          </button>
        ))}
      </div>
      <p class="quiet">
        {report.status === "accepted" ? "Accepted: the file has no marks of the checks." : "Marked as machine-drafted until a person has accepted it."}
      </p>
      {problem && <Failed problem={problem} />}
    </section>
  );
}
