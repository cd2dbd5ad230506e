// What a list or a page shows while it has nothing to show, and why.
import type { ComponentChildren } from "preact";
import type { Loaded, Problem } from "../http";
import { plural } from "../format";
import { Icon } from "./icon";

/** Boxes of the size of what will stand there. */
export function Skeleton({ rows = 6, kind = "row" }: { rows?: number; kind?: "row" | "tile" | "block" }) {
  return (
    <div class={`skeleton skeleton-${kind}`} role="status">
      <span class="unseen">Loading</span>
      {Array.from({ length: rows }, (_, i) => (
        <span key={i} class="bone" />
      ))}
    </div>
  );
}

/** A sentence, and the next step. */
export function Empty({ title, level = "h2", children }: { title: string; level?: "h1" | "h2"; children?: ComponentChildren }) {
  const Heading = level;
  return (
    <section class="state">
      <Heading>{title}</Heading>
      {children}
    </section>
  );
}

// The titles of the service's problems are HTTP's phrases, which say nothing to who reads pictures.
const HEADINGS: Record<number, string> = {
  400: "This question cannot be answered as it is",
  403: "This is not for this key",
  404: "This is not there",
  409: "This does not fit what is there",
  410: "This is not there any more",
  413: "This is too large",
  422: "This question cannot be answered as it is",
  424: "The PACS could not do this",
  429: "Too many requests",
  503: "The service is busy or not ready",
};

function heading(problem: Problem): string {
  return HEADINGS[problem.status] ?? (problem.status >= 500 ? "The service failed" : problem.title);
}

/** An error: what failed, the cure, the code and request that an administrator asks for, and another try. */
export function Failed({ problem, retry, close }: { problem: Problem; retry?: () => void; close?: () => void }) {
  return (
    <section class="state state-error" role="alert">
      <h2>
        <Icon name="warning" /> {heading(problem)}
      </h2>
      {problem.detail && problem.detail !== problem.title && <p>{problem.detail}</p>}
      <p class="quiet">
        Code <code>{problem.code}</code>
        {problem.requestId && (
          <>
            , request <code>{problem.requestId}</code>
          </>
        )}
      </p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again{problem.retryAfter ? ` (in ${problem.retryAfter} s)` : ""}
        </button>
      )}
      {close && (
        <button type="button" onClick={close}>
          Close
        </button>
      )}
    </section>
  );
}

export interface RemovedBy {
  where: string;
  cases: number;
}

/** Filtered to nothing: how many there would be without each filter, and a way to drop it. */
export function FilteredToNothing({ removed, drop, clear }: { removed: readonly RemovedBy[]; drop: (where: string) => void; clear: () => void }) {
  return (
    <section class="state">
      <h2>No case passes all filters</h2>
      <ul class="plain">
        {removed.map((one) => (
          <li key={one.where}>
            Without <code>{one.where}</code> there would be {plural(one.cases, "case")}.{" "}
            <button type="button" onClick={() => drop(one.where)}>
              Drop this filter
            </button>
          </li>
        ))}
      </ul>
      <button type="button" onClick={clear}>
        Drop all filters
      </button>
    </section>
  );
}

/** The usual three: loading, failed, and what `children` make of the value. */
export function ListState<T>({ of, skeleton, children }: { of: Loaded<T>; skeleton?: ComponentChildren; children: (value: T) => ComponentChildren }) {
  if (of.state === "error") return <Failed problem={of.problem} retry={of.retry} />;
  if (of.state === "loading" && of.value === undefined) return <>{skeleton ?? <Skeleton />}</>;
  return (
    <div class={of.state === "loading" ? "stale" : undefined} aria-busy={of.state === "loading"}>
      {children(of.value as T)}
    </div>
  );
}

/** A picture that is not shown, and why. */
export function Withheld({ code }: { code: string }) {
  const [title, more] = WITHHELD[code] ?? [/\s/.test(code) ? code : `No picture (${code})`, code];
  return (
    <span class="withheld" title={more}>
      <Icon name={code === "burned-in" ? "lock" : "file"} />
      <span class="withheld-words">{title}</span>
    </span>
  );
}

const WITHHELD: Record<string, [string, string]> = {
  "burned-in": ["Withheld", "The picture may bear the patient's name; an administrator may show it."],
  "picture-gone": ["File gone", "The file that this picture came from is not where it was."],
  "unknown-image": ["Not there", "This image is not in the archive any more."],
  none: ["No picture", "This study has no picture of the present model."],
};
