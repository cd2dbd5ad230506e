// The cases of the archive: filtered by facets, sorted, as pictures or as a table.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { plural } from "../../format";
import { get, useLoad } from "../../http";
import { useKeys } from "../../keys";
import { announce } from "../../parts/announce";
import { AsData, quoted } from "../../parts/as_data";
import { Chip } from "../../parts/chip";
import { Empty, Failed, FilteredToNothing, Skeleton } from "../../parts/states";
import { href, navigate, queryOf as addressOf, setQuery } from "../../router";
import { may, useKnown } from "../../session";
import type { PageProps } from "../../shell/pages";
import { Actions } from "./acting";
import { CaseTable, ColumnChoice, columnsOf } from "./case_table";
import { FacetPanel } from "./facets";
import { askedOf, queryOf, SORTS, type Asked, type Facets } from "./filters";
import { Grid } from "./grid";
import { useCases } from "./load";
import { useSelection } from "./selection";
import { SavedViews } from "./views";

export default function Page({ place }: PageProps) {
  const words = place.query.toString();
  const asked = useMemo<Asked>(() => askedOf(place.query), [words]);
  const [round, again] = useState(0);
  const listed = useCases(asked, round);
  const facets = useLoad(`facets ${round} ${JSON.stringify(asked.where)}`, (signal) => get<Facets>("/v1/facets", { where: asked.where }, signal));
  const selection = useSelection(listed.cases, JSON.stringify(asked));
  const [dialog, openDialog] = useState<"tag" | "collect" | null>(null);
  const { session } = useKnown();
  const table = place.query.get("view") === "table";
  const change = useCallback((where: string[]) => setQuery({ where }), []);
  const current = listed.cases[selection.active];

  useKeys({
    j: () => selection.activate(Math.min(selection.active + 1, listed.cases.length - 1), true),
    k: () => selection.activate(Math.max(selection.active - 1, 0), true),
    Enter: () => current && navigate(href("cases", current.study_instance_uid)),
    x: () => current && selection.select(selection.active, false),
    X: () => current && selection.select(selection.active, true),
    s: () => current && navigate(href("search", "", { study: current.study_instance_uid })),
    "+": () => current && navigate(href("search", "", { more: current.study_instance_uid })),
    "-": () => current && navigate(href("search", "", { study: current.study_instance_uid, less: current.study_instance_uid })),
    t: () => {
      if (!may(session, "write") || !current) return;
      if (!selection.uids.length) selection.select(selection.active, false);
      openDialog("tag");
    },
    ...(selection.uids.length ? { Escape: selection.clear } : {}),
  });

  const query = addressOf({ ...queryOf(asked), sort: asked.sort }).toString();
  const command = `medsiglip study list${asked.where.map((one) => ` --where ${quoted(one)}`).join("")}`;
  const total = listed.page?.total ?? 0;
  const capped = listed.page?.total_capped ?? false;
  const list = {
    cases: listed.cases,
    total,
    active: selection.active,
    activate: selection.activate,
    focusing: selection.focusing,
    selected: selection.set,
    select: selection.select,
    more: listed.more,
  };
  return (
    <div class="cases-page">
      <header class="row spread">
        <h1>
          Cases <span class="quiet">{listed.page && plural(total, "case", "cases", capped)}</span>
        </h1>
        <div class="row">
          <label>
            Sort{" "}
            <select value={asked.sort} onChange={(event) => setQuery(queryOf({ ...asked, sort: event.currentTarget.value }))}>
              {SORTS.map(([name, title]) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
          </label>
          <div class="row" role="group" aria-label="Form of the list">
            <button type="button" aria-pressed={!table} onClick={() => setQuery({ view: null }, { replace: true })}>
              Grid
            </button>
            <button type="button" aria-pressed={table} onClick={() => setQuery({ view: "table" }, { replace: true })}>
              Table
            </button>
          </div>
          {table && <ColumnChoice columns={columnsOf(place.query)} />}
          <SavedViews />
          <AsData json={`/v1/cases?${query}`} csv={`/v1/cases/export?${addressOf({ where: asked.where })}`} command={command} />
        </div>
      </header>
      <Filters where={asked.where} change={change} />
      <div class="cases-columns">
        <Side found={facets} where={asked.where} change={change} />
        <section class="cases-list" aria-label="List of cases" aria-busy={listed.stale}>
          {(listed.page?.warnings ?? []).map((one) => (
            <p key={one} class="quiet" role="note">
              {one}
            </p>
          ))}
          {listed.first && <Skeleton rows={12} kind={table ? "row" : "tile"} />}
          {listed.page && !listed.problem && total === 0 && <Nothing asked={asked} removed={listed.page.removed_by ?? []} change={change} />}
          {listed.cases.length > 0 && (
            <div class={listed.stale ? "stale" : undefined}>
              {table ? (
                <CaseTable {...list} columns={columnsOf(place.query)} sort={asked.sort} onSort={(sort) => setQuery(queryOf({ ...asked, sort }))} />
              ) : (
                <Grid {...list} />
              )}
            </div>
          )}
          {listed.coming && listed.cases.length > 0 && <p class="quiet">More cases are coming …</p>}
          {listed.problem && <Failed problem={listed.problem} retry={listed.retry} />}
          {total > 0 && (
            <Actions
              selected={selection.uids}
              where={asked.where}
              total={total}
              capped={capped}
              clear={selection.clear}
              selectShown={selection.selectAll}
              shown={listed.cases.length}
              dialog={dialog}
              openDialog={openDialog}
              changed={() => again((n) => n + 1)}
            />
          )}
        </section>
      </div>
    </div>
  );
}

/** Facets beside the list, folded away where the window is narrow. */
function Side(props: { found: Parameters<typeof FacetPanel>[0]["found"]; where: readonly string[]; change: (where: string[]) => void }) {
  const [wide] = useState(() => matchMedia("(min-width: 60rem)").matches);
  return (
    <aside class="cases-side" aria-label="Filters">
      <details open={wide}>
        <summary>
          <h2>Filters</h2>
        </summary>
        <FacetPanel {...props} />
      </details>
    </aside>
  );
}

/** The filters as chips, and a field for any other. */
function Filters({ where, change }: { where: readonly string[]; change: (where: string[]) => void }) {
  const [text, write] = useState("");
  const add = (event: Event) => {
    event.preventDefault();
    const one = text.trim();
    if (one && !where.includes(one)) change([...where, one]);
    write("");
  };
  const drop = (one: string) => {
    change(where.filter((other) => other !== one));
    announce(`The filter ${one} is dropped`);
  };
  return (
    <div class="row filters">
      {where.map((one) => (
        <Chip key={one} name={`the filter ${one}`} remove={() => drop(one)}>
          <code>{one}</code>
        </Chip>
      ))}
      {where.length > 1 && (
        <button type="button" onClick={() => change([])}>
          Drop all filters
        </button>
      )}
      <form class="row" onSubmit={add}>
        <input
          aria-label="Another filter"
          placeholder="patient_age>=60"
          value={text}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => write(event.currentTarget.value)}
        />
        <button type="submit" disabled={!text.trim()}>
          Add filter
        </button>
      </form>
    </div>
  );
}

function Nothing({ asked, removed, change }: { asked: Asked; removed: { where: string; cases: number }[]; change: (where: string[]) => void }) {
  const shown = useRef(false);
  useEffect(() => {
    if (!shown.current) announce(asked.where.length ? "No case passes all filters" : "There is no case yet");
    shown.current = true;
  }, []);
  if (!asked.where.length)
    return (
      <Empty title="There is no case yet">
        <p>Cases are here once their files were ingested.</p>
        <a class="button" href={href("ingest")}>
          Ingest files
        </a>
      </Empty>
    );
  return <FilteredToNothing removed={removed} drop={(one) => change(asked.where.filter((other) => other !== one))} clear={() => change([])} />;
}
