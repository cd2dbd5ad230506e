// A map is made by a job, which is followed to its end.
import { useEffect, useState } from "preact/hooks";
import { get, post, Problem } from "../../http";
import { may, useKnown } from "../../session";
import { jobStarted } from "../../shell/job_bell";
import type { Job } from "../../types";
import { announce } from "../../parts/announce";
import { Progress } from "../../parts/progress";
import { Failed } from "../../parts/states";
import type { Level } from "./points";

const ASK_MS = 700;

export function Making({ level, made, again }: { level: Level; made: () => void; again: boolean }) {
  const { session } = useKnown();
  const [job, follow] = useState<Job | null>(null);
  const [problem, tell] = useState<Problem | null>(null);
  useEffect(() => {
    if (!job || (job.status !== "queued" && job.status !== "running")) return;
    const stop = new AbortController();
    const timer = setTimeout(
      () =>
        get<Job>(`/v1/jobs/${job.id}`, {}, stop.signal).then(
          (next) => {
            follow(next);
            if (next.status === "done") {
              announce("The map is made");
              made();
            }
          },
          (error: unknown) => error instanceof Problem && tell(error),
        ),
      ASK_MS,
    );
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [job]);
  const start = () => {
    tell(null);
    post<Job>("/v1/map", { level, seed: 0 }).then(
      (begun) => {
        follow(begun);
        jobStarted();
        announce("The map is being made");
      },
      (error: unknown) => error instanceof Problem && tell(error),
    );
  };
  if (!may(session, "train")) return again ? null : <p>Ask somebody whose key has the scope “train” to make the map.</p>;
  const busy = job !== null && (job.status === "queued" || job.status === "running");
  return (
    <div>
      {busy ? (
        <Progress job={job} />
      ) : (
        <button type="button" class={again ? undefined : "primary"} onClick={start}>
          {again ? "Make it again" : "Make the map"}
        </button>
      )}
      {job?.status === "failed" && job.error && (
        <p class="state-error" role="alert">
          The map was not made: <code>{job.error.code}</code>
        </p>
      )}
      {problem && <Failed problem={problem} retry={start} />}
    </div>
  );
}
