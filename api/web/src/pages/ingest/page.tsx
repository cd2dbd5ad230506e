// Ingest: what goes in, tried first; and all jobs.
import type { PageProps } from "../../shell/pages";
import { setQuery } from "../../router";
import { JobList } from "./job_list";
import { NewIngest } from "./new_ingest";

const TABS = [
  ["new", "New files"],
  ["jobs", "Jobs"],
] as const;

export default function Page({ place }: PageProps) {
  const tab = place.query.get("tab") === "jobs" ? "jobs" : "new";
  return (
    <>
      <h1>Ingest</h1>
      <div role="tablist" aria-label="Ingest">
        {TABS.map(([name, title]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={tab === name}
            aria-controls="ingest-panel"
            tabindex={tab === name ? 0 : -1}
            onClick={() => setQuery({ tab: name, job: null })}
            onKeyDown={(event) => {
              if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
              const other = name === "new" ? "jobs" : "new";
              setQuery({ tab: other, job: null });
              document.getElementById(`tab-${other}`)?.focus();
            }}
          >
            {title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="ingest-panel" aria-labelledby={`tab-${tab}`}>
        {tab === "jobs" ? <JobList query={place.query} /> : <NewIngest query={place.query} />}
      </div>
    </>
  );
}
