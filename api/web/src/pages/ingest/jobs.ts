// Jobs as the service tells of them, and one that is followed as it goes.
import { useEffect, useState } from "preact/hooks";
import { get, Problem } from "../../http";
import { ROOT } from "../../router";
import type { Job as AnyJob } from "../../types";

export type Job = Omit<AnyJob, "error"> & { error: { code: string; message: string } | null; attempts: number };

export interface Refusal {
  path?: string;
  code: string;
  reason: string;
}

export interface IngestReport {
  files: number;
  files_embedded: number;
  files_unchanged: number;
  studies: number;
  series: number;
  instances: number;
  images: number;
  embedded: number;
  unchanged: number;
  skipped: Refusal[];
  quarantined: Refusal[];
  warnings: string[];
  warned?: { warning: string; about: string[] }[];
  space: string;
  seconds: number;
  dry_run?: boolean;
  at_most?: boolean;
  routed?: number;
  withheld?: { burned_in: "yes" | "likely"; files: number; reason: string }[];
}

const REFUSED_MS = 2000;

export const isActive = (job: Job): boolean => job.status === "queued" || job.status === "running";

export const STAGES: Record<string, readonly string[]> = {
  ingest: ["finding files", "reading headers", "embedding"],
};

/** The job as it goes, by server-sent events; `again` follows it anew after a problem. */
export function useJob(id: string | null): { job: Job | null; problem: Problem | null; again: () => void } {
  const [job, show] = useState<Job | null>(null);
  const [problem, fail] = useState<Problem | null>(null);
  const [round, turn] = useState(0);
  useEffect(() => {
    show(null);
    fail(null);
    if (id === null) return;
    const stop = new AbortController();
    let events: EventSource | null = null;
    let pause: ReturnType<typeof setTimeout> | undefined;
    const path = `/v1/jobs/${encodeURIComponent(id)}`;
    const follow = () => {
      get<Job>(path, {}, stop.signal).then(
        (found) => {
          show(found);
          if (!isActive(found) || stop.signal.aborted) return;
          const source = (events = new EventSource(`${ROOT}${path}/events`));
          const hear = (event: MessageEvent<string>) => {
            const now = JSON.parse(event.data) as Job;
            show(now);
            if (!isActive(now)) source.close();
          };
          for (const name of ["progress", "done", "failed", "cancelled"]) source.addEventListener(name, hear as EventListener);
          // A browser connects again by itself, but for what is refused: a session that ended, a job that is gone, a busy proxy.
          source.addEventListener("error", () => {
            if (source.readyState === EventSource.CLOSED && !stop.signal.aborted) pause = setTimeout(follow, REFUSED_MS);
          });
        },
        (error: unknown) => {
          if (!stop.signal.aborted && error instanceof Problem) fail(error);
        },
      );
    };
    follow();
    return () => {
      stop.abort();
      clearTimeout(pause);
      events?.close();
    };
  }, [id, round]);
  return { job, problem, again: () => turn((n) => n + 1) };
}

/** How long something took, or takes so far. */
export function duration(job: Job): string {
  if (!job.started_at) return "–";
  const end = job.finished_at ? Date.parse(job.finished_at) : Date.now();
  const seconds = Math.max(0, Math.round((end - Date.parse(job.started_at)) / 1000));
  if (seconds < 90) return `${seconds} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
