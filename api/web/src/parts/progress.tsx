// How far a job is.
import type { Job } from "../types";
import { count } from "../format";

export function Progress({ job }: { job: Job }) {
  const { done, total, stage } = job.progress;
  const words = `${job.status === "queued" ? "waits for a worker" : stage || job.status}${total ? `: ${count(done)} of ${count(total)}` : done ? `: ${count(done)}` : ""}`;
  return (
    <span class="progress">
      <progress value={total ? done : undefined} max={total ?? undefined} aria-label={words} />
      <span>{words}</span>
    </span>
  );
}
