// Cases as rows of a table with columns of choice, of which those in sight are in the document.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { age, count, date, moment, shortUid } from "../../format";
import { Copy } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Thumbnail } from "../../parts/thumbnail";
import { href, setQuery } from "../../router";
import type { Case } from "../../types";
import { MARKS, SORTABLE } from "./filters";
import { labelsOf, LabelTag, titleOf, type ListProps } from "./grid";
import { scrollToRow, useRem, useSight } from "./window";

interface CaseColumn {
  title: string;
  number?: boolean;
  show: (one: Case, tabindex: 0 | -1) => ComponentChildren;
}

export const COLUMNS: Record<string, CaseColumn> = {
  picture: { title: "Picture", show: (one) => <Thumbnail image={one.image_id} alt="" /> },
  modalities: { title: "Modality", show: (one) => one.modalities.join(", ") || "–" },
  body_parts: { title: "Body part", show: (one) => one.body_parts.join(", ") || "–" },
  study_date: { title: "Study date", show: (one) => date(one.study_date) },
  study_description: { title: "Description", show: (one) => <span title={one.study_description ?? ""}>{one.study_description || "–"}</span> },
  patient_age: { title: "Age", number: true, show: (one) => age(one.patient_age) },
  patient_sex: { title: "Sex", show: (one) => one.patient_sex || "–" },
  labels: {
    title: "Labels",
    show: (one) => <span class="tags">{labelsOf(one).map(([name, value]) => <LabelTag key={name} name={name} value={value} />)}</span>,
  },
  series: { title: "Series", number: true, show: (one) => count(one.series) },
  images: { title: "Images", number: true, show: (one) => count(one.images) },
  drafts: { title: "Drafts", number: true, show: (one) => count(one.drafts) },
  quality: { title: "Quality", show: (one) => one.quality.map((name) => MARKS[name] ?? name).join(", ") || "–" },
  withheld: { title: "Picture withheld", show: (one) => (one.withheld ? "yes" : "no") },
  patient_key: { title: "Patient", show: (one, tabindex) => <Coded text={one.patient_key} what="the patient's key" tabindex={tabindex} /> },
  added_at: { title: "Added", show: (one) => moment(one.added_at) },
  study_instance_uid: { title: "UID", show: (one, tabindex) => <Coded text={one.study_instance_uid} what="the study's UID" tabindex={tabindex} /> },
};
const USUAL = ["picture", "modalities", "body_parts", "study_date", "study_description", "patient_age", "patient_sex", "labels", "images", "study_instance_uid"];

function Coded({ text, what, tabindex }: { text: string; what: string; tabindex: 0 | -1 }) {
  return (
    <>
      <code title={text}>{shortUid(text)}</code> <Copy text={text} what={what} tabindex={tabindex} />
    </>
  );
}

/** The columns that an address names, in their order; the usual ones without. */
export function columnsOf(query: URLSearchParams): string[] {
  const named = (query.get("columns") ?? "").split(",").filter((name) => name in COLUMNS);
  return named.length ? named : USUAL;
}

export function ColumnChoice({ columns }: { columns: readonly string[] }) {
  const [open, show] = useState(false);
  const choose = (next: string[]) =>
    setQuery({ columns: next.join(",") === USUAL.join(",") || !next.length ? null : next.join(",") }, { replace: true });
  const tick = (name: string, on: boolean) =>
    choose(on ? Object.keys(COLUMNS).filter((one) => one === name || columns.includes(one)) : columns.filter((one) => one !== name));
  return (
    <>
      <button type="button" onClick={() => show(true)}>
        Columns
      </button>
      {open && (
        <Dialog title="Columns of the table" close={() => show(false)}>
          <ul class="plain column-choice">
            {Object.entries(COLUMNS).map(([name, one]) => (
              <li key={name}>
                <label>
                  <input
                    type="checkbox"
                    checked={columns.includes(name)}
                    disabled={columns.length === 1 && columns[0] === name}
                    onChange={(event) => tick(name, event.currentTarget.checked)}
                  />{" "}
                  {one.title}
                </label>
              </li>
            ))}
          </ul>
          <button type="button" onClick={() => choose([])}>
            The usual columns
          </button>
        </Dialog>
      )}
    </>
  );
}

const ROW_REM = 3;

export interface CaseTableProps extends ListProps {
  columns: readonly string[];
  sort: string;
  onSort: (sort: string) => void;
}

export function CaseTable({ cases, total, active, activate, focusing, selected, select, more, columns, sort, onSort }: CaseTableProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  const rowHeight = ROW_REM * useRem();
  const sight = useSight(body, cases.length, rowHeight);
  useEffect(() => {
    if (sight.last >= cases.length - 5) more();
  }, [sight.last, cases.length, more]);
  useEffect(() => {
    if (!focusing || !body.current) return;
    scrollToRow(body.current, active, rowHeight);
    body.current.querySelector<HTMLElement>(`[data-index="${active}"] a`)?.focus({ preventScroll: true });
  }, [focusing]);
  const onKeyDown = (event: KeyboardEvent) => {
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, End: cases.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (to >= 0 && to < cases.length) activate(to, true);
  };
  const rows = [];
  for (let index = sight.first; index < sight.last; index += 1) rows.push(index);
  const span = columns.length + 1;
  return (
    <div class="case-table" role="region" aria-label="Cases" tabindex={-1} onKeyDown={onKeyDown}>
      <table aria-rowcount={Math.max(total, cases.length) + 1}>
        <caption class="unseen">Cases</caption>
        <thead>
          <tr aria-rowindex={1}>
            <th scope="col" class="narrow">
              <span class="unseen">Selected</span>
            </th>
            {columns.map((name) => (
              <Header key={name} name={name} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          <Space rows={sight.first} rowHeight={rowHeight} span={span} />
          {rows.map((index) => {
            const one = cases[index]!;
            const reachable = index === active || (index === sight.first && (active < sight.first || active >= sight.last)) ? 0 : -1;
            const chosen = selected.has(one.study_instance_uid);
            return (
              <tr key={one.study_instance_uid} aria-rowindex={index + 2} data-index={index} class={chosen ? "selected" : undefined}>
                <td class="narrow">
                  <label class="target">
                    <input
                      type="checkbox"
                      checked={chosen}
                      tabindex={reachable}
                      aria-label={`Select ${titleOf(one)}`}
                      onFocus={() => activate(index, false)}
                      onChange={() => select(index, false)}
                    />
                  </label>
                </td>
                {columns.map((name, column) => (
                  <td key={name} class={`${COLUMNS[name]!.number ? "number " : ""}column-${name}`}>
                    <div class="line">
                      {column === 0 ? (
                        <a
                          class="row-link"
                          href={href("cases", one.study_instance_uid)}
                          tabindex={reachable}
                          aria-label={titleOf(one)}
                          onFocus={() => activate(index, false)}
                        >
                          {COLUMNS[name]!.show(one, reachable)}
                        </a>
                      ) : (
                        COLUMNS[name]!.show(one, reachable)
                      )}
                    </div>
                  </td>
                ))}
              </tr>
            );
          })}
          <Space rows={cases.length - sight.last} rowHeight={rowHeight} span={span} />
        </tbody>
      </table>
    </div>
  );
}

/** As high as the rows that are not in the document. */
function Space({ rows, rowHeight, span }: { rows: number; rowHeight: number; span: number }) {
  if (rows <= 0) return null;
  return (
    <tr aria-hidden="true" class="space">
      <td colSpan={span} style={{ height: `${rows * rowHeight}px` }} />
    </tr>
  );
}

function Header({ name, sort, onSort }: { name: string; sort: string; onSort: (sort: string) => void }) {
  const column = COLUMNS[name]!;
  const state = sort === name ? "ascending" : sort === `-${name}` ? "descending" : "none";
  if (!SORTABLE.includes(name)) return <th scope="col">{column.title}</th>;
  return (
    <th scope="col" class={column.number ? "number" : undefined} aria-sort={state}>
      <button type="button" class="bare" onClick={() => onSort(state === "descending" ? name : `-${name}`)}>
        {column.title}
        <span aria-hidden="true">{{ ascending: " ▲", descending: " ▼", none: "" }[state]}</span>
      </button>
    </th>
  );
}
