// A study whose files are not here: why, and fetching them from the PACS that it came from.
import { useEffect, useState } from "preact/hooks";
import { post, Problem } from "../../http";
import { announce } from "../../parts/announce";
import { Icon } from "../../parts/icon";
import { Progress } from "../../parts/progress";
import { Failed } from "../../parts/states";
import { may, useKnown } from "../../session";
import { jobStarted } from "../../shell/job_bell";
import type { Job } from "../../types";
import { isActive, useJob } from "../ingest/jobs";
import type { Study } from "./study";

export function FilesGone({ study, fetched }: { study: Study; fetched: () => void }) {
  const { info } = useKnown();
  if (study.files === undefined || study.files === "here") return null;
  const [from] = study.came_from ?? []; // the one that it last came from is asked
  return (
    <section class="note files-gone" aria-label="Files">
      {study.files === "fetchable" && (
        <>
          <p>
            <Icon name="file" /> The files of this study are not here: vectors, scores and small pictures are. The PACS {from} can give
            them again.
          </p>
          <Fetching study={study} fetched={fetched} />
        </>
      )}
      {study.files === "gone" && (
        <p>
          <Icon name="file" />{" "}
          {info?.phi === "strict"
            ? "A strict archive keeps no files, and no way to fetch them: of its studies there are vectors, scores and small pictures."
            : "Files of this study are not where they were, and it came from no PACS that is connected: ingest them again."}
        </p>
      )}
    </section>
  );
}

function Fetching({ study, fetched }: { study: Study; fetched: () => void }) {
  const { session } = useKnown();
  const [asked, ask] = useState<string | null>(null);
  const [problem, tell] = useState<Problem | null>(null);
  const [busy, wait] = useState(false);
  const { job, problem: lost, again } = useJob(asked);
  const status = job?.status;
  useEffect(() => {
    if (status === undefined || (job && isActive(job))) return;
    announce(status === "done" ? "The files are here" : `The fetch is ${status}`);
    if (status === "done") fetched();
  }, [status]);
  if (!may(session, "write")) return <p class="quiet">Fetching them needs a key with the scope write.</p>;
  const start = () => {
    wait(true);
    tell(null);
    post<Job>(`/v1/studies/${encodeURIComponent(study.study_instance_uid)}/fetch`)
      .then(
        (started) => {
          announce("The files are being fetched");
          jobStarted();
          ask(started.id);
        },
        (error: unknown) => error instanceof Problem && tell(error),
      )
      .finally(() => wait(false));
  };
  const going = asked !== null && (job === null ? lost === null : isActive(job));
  return (
    <>
      {!going && (
        <button type="button" class="primary" disabled={busy} onClick={start}>
          Fetch from PACS
        </button>
      )}
      {going && job && <Progress job={job} />}
      {job?.error && (
        <p class={job.status === "failed" ? "must" : "quiet"} role="alert">
          <Icon name="warning" /> {job.error.message} (<code>{job.error.code}</code>)
        </p>
      )}
      {lost && <Failed problem={lost} retry={again} />}
      {problem && <Failed problem={problem} retry={start} />}
    </>
  );
}
