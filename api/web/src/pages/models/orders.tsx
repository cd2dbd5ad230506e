// Jobs that this page starts, and what is shown of them.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { post, Problem } from "../../http";
import { Failed } from "../../parts/states";
import { setQuery } from "../../router";
import { may, useKnown } from "../../session";
import { jobStarted } from "../../shell/job_bell";
import { JobView } from "../ingest/job_view";
import type { Job } from "../ingest/jobs";

export interface Orders {
  /** Whether the key may train; buttons are shown for these alone. */
  allowed: boolean;
  busy: boolean;
  problem: Problem | null;
  start: (path: string, body: object) => void;
}

/** Start jobs; the one that was started last is followed, by the name `job` of the address. */
export function useOrders(): Orders {
  const { session } = useKnown();
  const [busy, wait] = useState(false);
  const [problem, fail] = useState<Problem | null>(null);
  const start = (path: string, body: object) => {
    wait(true);
    fail(null);
    post<Job>(path, body)
      .then((job) => {
        jobStarted();
        setQuery({ job: job.id });
      })
      .catch((error: unknown) => error instanceof Problem && fail(error))
      .finally(() => wait(false));
  };
  return { allowed: may(session, "train"), busy, problem, start };
}

export function Followed({ orders, query, children }: { orders: Orders; query: URLSearchParams; children?: (job: Job) => ComponentChildren }) {
  const job = query.get("job");
  return (
    <>
      {orders.problem && <Failed problem={orders.problem} />}
      {job && (
        <JobView key={job} id={job}>
          {children}
        </JobView>
      )}
    </>
  );
}
