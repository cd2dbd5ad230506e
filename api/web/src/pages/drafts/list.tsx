// The drafts, the newest first, by status, route, verdict and words.
import { useEffect, useRef, useState } from "preact/hooks";
import { moment, plural, shortUid } from "../../format";
import { get, Problem, useLoad } from "../../http";
import { useKeys } from "../../keys";
import { announce } from "../../parts/announce";
import { AsData } from "../../parts/as_data";
import { Chip } from "../../parts/chip";
import { Copy } from "../../parts/copy";
import { Empty, Failed, ListState, Skeleton } from "../../parts/states";
import { Table } from "../../parts/table";
import { href, queryOf, setQuery } from "../../router";
import { SIGNS, VERDICTS, type ReportLine } from "./report";
import { Counts } from "./signs";

const STATUSES = ["draft", "edited", "accepted", "rejected"];
const PAGE = 50;
const NAMES = ["status", "verdict", "route", "words"] as const;

interface Answer {
  reports: ReportLine[];
  cursor: string | null;
}

export function DraftList({ query }: { query: URLSearchParams }) {
  const asked = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""])) as Record<(typeof NAMES)[number], string>;
  const key = queryOf(asked).toString();
  const found = useLoad(key, (signal) => get<Answer>("/v1/reports", { ...asked, limit: PAGE }, signal));
  const chosen = NAMES.filter((name) => asked[name]);
  return (
    <>
      <div class="row spread">
        <h1>Drafts</h1>
        <AsData json={`/v1/reports${key ? `?${key}` : ""}`} command={`medsiglip report list${asked.status ? ` --status ${asked.status}` : ""}`} />
      </div>
      <Filters asked={asked} />
      {chosen.length > 0 && (
        <p class="row">
          {chosen.map((name) => (
            <Chip key={name} name={`the filter ${name}`} remove={() => setQuery({ [name]: null })}>
              {name}: {asked[name]}
            </Chip>
          ))}
        </p>
      )}
      <ListState of={found} skeleton={<Skeleton rows={8} />}>
        {(answer) => (answer.reports.length ? <Lines key={key} first={answer} asked={asked} /> : <Nothing filtered={chosen.length > 0} />)}
      </ListState>
    </>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <Empty title="No draft passes these filters">
        <button type="button" onClick={() => setQuery({ status: null, verdict: null, route: null, words: null })}>
          Drop all filters
        </button>
      </Empty>
    );
  }
  return (
    <Empty title="There is no draft yet">
      <p>
        Open a case and order one, or let a routing rule order them: <code>medsiglip report draft STUDY</code>.
      </p>
      <a href={href("cases")}>To the cases</a>
    </Empty>
  );
}

function Filters({ asked }: { asked: Record<string, string> }) {
  const [words, write] = useState(asked.words ?? "");
  useEffect(() => write(asked.words ?? ""), [asked.words]);
  return (
    <form
      class="row filters"
      onSubmit={(event) => {
        event.preventDefault();
        setQuery({ words: words.trim() || null });
      }}
    >
      <label>
        Status{" "}
        <select value={asked.status} onChange={(event) => setQuery({ status: event.currentTarget.value || null })}>
          <option value="">any</option>
          {STATUSES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      <label>
        With a sentence that is{" "}
        <select value={asked.verdict} onChange={(event) => setQuery({ verdict: event.currentTarget.value || null })}>
          <option value="">anything</option>
          {VERDICTS.map((one) => (
            <option key={one} value={one}>
              {one === "contradict" ? "a contradiction" : SIGNS[one].word}
            </option>
          ))}
        </select>
      </label>
      <label>
        Route{" "}
        <input type="text" value={asked.route} size={12} maxLength={64} onChange={(event) => setQuery({ route: event.currentTarget.value.trim() || null })} />
      </label>
      <label>
        Words <input type="search" value={words} size={18} maxLength={200} onInput={(event) => write(event.currentTarget.value)} />
      </label>
      <button type="submit">Find</button>
    </form>
  );
}

function Lines({ first, asked }: { first: Answer; asked: Record<string, string> }) {
  const [lines, add] = useState(first.reports);
  const [cursor, goOn] = useState(first.cursor);
  const [problem, fail] = useState<Problem | null>(null);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    add(first.reports);
    goOn(first.cursor);
    announce(plural(first.reports.length, "draft", "drafts", first.cursor !== null));
  }, [first]);
  const step = (by: number) => {
    const links = [...(box.current?.querySelectorAll<HTMLAnchorElement>("a.draft-link") ?? [])];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
  };
  useKeys({ j: () => step(1), k: () => step(-1) });
  const more = () =>
    get<Answer>("/v1/reports", { ...asked, limit: PAGE, cursor }).then(
      (answer) => {
        fail(null);
        add((before) => [...before, ...answer.reports]);
        goOn(answer.cursor);
        announce(`${answer.reports.length} more drafts`);
      },
      (error: unknown) => error instanceof Problem && fail(error),
    );
  return (
    <div ref={box}>
      <p class="quiet">{plural(lines.length, "draft", "drafts", cursor !== null)}, the newest first</p>
      <Table
        caption="Drafts"
        rows={lines}
        rowKey={(line) => line.id}
        columns={[
          {
            name: "text",
            title: "Draft",
            show: (line) => (
              <a class="draft-link" href={href("drafts", line.id)}>
                {beginning(line.text)}
              </a>
            ),
          },
          {
            name: "status",
            title: "Status",
            show: (line) => (
              <>
                <span class={`status draft-${line.status}`}>{line.status}</span>
                {line.incomplete && <span class="quiet"> cut off</span>}
                {line.superseded_by && <span class="quiet"> superseded</span>}
              </>
            ),
          },
          { name: "verdicts", title: "Checks of sentences", show: (line) => <Counts of={line.verdicts} /> },
          {
            name: "study",
            title: "Study",
            show: (line) => (
              <span class="uid">
                <a href={href("cases", line.study_instance_uid)}>{shortUid(line.study_instance_uid)}</a>
                <Copy text={line.study_instance_uid} what="the UID of the study" />
              </span>
            ),
          },
          { name: "route", title: "Route", show: (line) => line.route ?? <span class="quiet">by hand</span> },
          { name: "generator", title: "Written by", show: (line) => line.generator },
          { name: "created_at", title: "Made", show: (line) => moment(line.created_at) },
        ]}
      />
      {cursor && !problem && (
        <p>
          <button type="button" onClick={more}>
            Show more
          </button>
        </p>
      )}
      {problem && <Failed problem={problem} retry={more} />}
    </div>
  );
}

const beginning = (text: string): string => {
  const words = text.replace(/\s+/g, " ").trim();
  return words.length > 90 ? `${words.slice(0, 89)}…` : words || "an empty text";
};
