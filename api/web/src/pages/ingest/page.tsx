// Ingest: what goes in, tried first; and all jobs.
import type { PageProps } from "../../shell/pages";
import { Tabs } from "../../parts/tabs";
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
      <Tabs of="Ingest" tabs={TABS} shown={tab} open={(name) => setQuery({ tab: name, job: null })}>
        {tab === "jobs" ? <JobList query={place.query} /> : <NewIngest query={place.query} />}
      </Tabs>
    </>
  );
}
