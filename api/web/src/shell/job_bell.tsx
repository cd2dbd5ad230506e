// The latest jobs: how many run, and how those that ended did.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../http";
import { href } from "../router";
import type { Job } from "../types";
import { announce } from "../parts/announce";
import { Icon } from "../parts/icon";
import { Progress } from "../parts/progress";
import { moment } from "../format";

const BUSY_MS = 3000;
const IDLE_MS = 30000;

const active = (job: Job) => job.status === "running" || job.status === "queued";

/** The latest jobs, asked for often while one runs. */
export function useJobs(): Job[] {
  const [jobs, show] = useState<Job[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = () => {
      if (document.hidden) {
        timer = window.setTimeout(ask, BUSY_MS);
        return;
      }
      get<{ jobs: Job[] }>("/v1/jobs", { limit: 10 }, stop.signal).then(
        (answer) => {
          show((before) => {
            const ended = answer.jobs.filter((job) => !active(job) && before.some((one) => one.id === job.id && active(one)));
            ended.forEach((job) => announce(`The job ${job.kind} is ${job.status}`));
            return answer.jobs;
          });
          timer = window.setTimeout(ask, answer.jobs.some(active) ? BUSY_MS : IDLE_MS);
        },
        () => {
          if (!stop.signal.aborted) timer = window.setTimeout(ask, IDLE_MS);
        },
      );
    };
    ask();
    addEventListener("job-started", ask);
    return () => {
      stop.abort();
      clearTimeout(timer);
      removeEventListener("job-started", ask);
    };
  }, []);
  return jobs;
}

/** Call after a request that started a job, so that the bell shows it at once. */
export const jobStarted = (): boolean => dispatchEvent(new Event("job-started"));

export function JobBell() {
  const jobs = useJobs();
  const [open, show] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const running = jobs.filter(active).length;
  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) show(false);
    };
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, [open]);
  return (
    <div class="bell" ref={box} onKeyDown={(event) => event.key === "Escape" && show(false)}>
      <button
        type="button"
        class="bare"
        aria-expanded={open}
        aria-label={running ? `Jobs: ${running} running or waiting` : "Jobs"}
        onClick={() => show(!open)}
      >
        <Icon name="bell" />
        {running > 0 && <span class="bell-count">{running}</span>}
      </button>
      {open && (
        <section class="popover" aria-label="Jobs">
          <h2>Jobs</h2>
          {!jobs.length && <p class="quiet">No job was started yet.</p>}
          <ul class="plain">
            {jobs.map((job) => (
              <li key={job.id}>
                <strong>{job.kind}</strong> <span class={`status status-${job.status}`}>{job.status}</span>
                <br />
                {active(job) ? <Progress job={job} /> : <span class="quiet">{moment(job.finished_at)}</span>}
                {job.error && <p class="quiet">{job.error.code}</p>}
              </li>
            ))}
          </ul>
          <a href={href("ingest", "", { tab: "jobs" })} onClick={() => show(false)}>
            All jobs
          </a>
        </section>
      )}
    </div>
  );
}
