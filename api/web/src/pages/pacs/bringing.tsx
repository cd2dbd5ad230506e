// A pull or a sync as it goes: its job, and when it has ended what changed.
import { useEffect } from "preact/hooks";
import { setQuery } from "../../router";
import { JobView } from "../ingest/job_view";
import { isActive, type Job } from "../ingest/jobs";

export function Bringing({ id, ended }: { id: string; ended: () => void }) {
  return (
    <JobView id={id} follow={(job) => setQuery({ job })} close={close}>
      {(job) => <WhenEnded job={job} ended={ended} />}
    </JobView>
  );
}

const close = () => setQuery({ job: null }, { replace: true });

function WhenEnded({ job, ended }: { job: Job; ended: () => void }) {
  const over = !isActive(job);
  useEffect(() => {
    if (over) ended();
  }, [over]);
  if (!over) return null;
  return (
    <p>
      <button type="button" onClick={close}>
        Close
      </button>
    </p>
  );
}
