// Cases as pictures: a grid of rows of which those in sight are in the document.
import { Component } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { age, date, plural } from "../../format";
import { Copy } from "../../parts/copy";
import { Tile } from "../../parts/tile";
import { href } from "../../router";
import type { Case } from "../../types";
import { MARKS } from "./filters";
import { scrollToRow, useRem, useSight, useWidth } from "./window";

export interface ListProps {
  cases: readonly Case[];
  /** How many there are in all, where that is known. */
  total: number;
  active: number;
  activate: (index: number, focus: boolean) => void;
  /** Counted up each time the active case is to be focused. */
  focusing: number;
  selected: ReadonlySet<string>;
  select: (index: number, upTo: boolean) => void;
  /** The list comes to its end. */
  more: () => void;
}

const TILE_REM = 11;
const GAP = 10;
const WORDS_REM = 8.1;

export function titleOf(one: Case): string {
  const parts = [one.modalities.join(", "), one.body_parts.join(", "), one.study_description ?? "", one.study_date ?? ""];
  return parts.filter(Boolean).join(" · ") || one.study_instance_uid;
}

/** What is present comes first: there may be no room for the rest. */
export const labelsOf = (one: Case): [string, number][] => Object.entries(one.labels).sort(([, a], [, b]) => b - a);

export function Grid({ cases, total, active, activate, focusing, selected, select, more }: ListProps) {
  const list = useRef<HTMLDivElement>(null);
  const width = useWidth(list);
  const rem = useRem();
  const columns = Math.max(1, Math.floor((width + GAP) / (TILE_REM * rem + GAP)));
  const tile = (width - GAP * (columns - 1)) / columns;
  const rowHeight = width > 0 ? Math.round(tile + WORDS_REM * rem + GAP + 2) : 0;
  const rows = Math.ceil(cases.length / columns);
  const sight = useSight(list, rows, rowHeight);
  const activeRow = Math.floor(active / columns);

  useEffect(() => {
    if (sight.last * columns >= cases.length - columns) more();
  }, [sight.last, columns, cases.length, more]);
  useEffect(() => {
    if (!focusing || !list.current || !rowHeight) return;
    scrollToRow(list.current, activeRow, rowHeight);
    list.current.querySelector<HTMLElement>(`[data-index="${active}"] .tile-picture`)?.focus({ preventScroll: true });
  }, [focusing]);

  const shown = useMemo(() => {
    const found = [];
    for (let row = sight.first; row < sight.last; row += 1) found.push(row);
    // What has the focus stays in the document, or the focus would be lost.
    if (activeRow < rows && !found.includes(activeRow)) found.push(activeRow);
    return found;
  }, [sight.first, sight.last, activeRow, rows]);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? cases.length - 1 : step === undefined ? null : active + step;
    if (to === null || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (to >= 0 && to < cases.length) activate(to, true);
  };
  return (
    <div
      ref={list}
      class="case-grid"
      role="grid"
      aria-label="Cases"
      aria-rowcount={total > cases.length ? Math.ceil(total / columns) : rows}
      aria-colcount={columns}
      aria-multiselectable="true"
      style={{ height: `${Math.max(rows * rowHeight, 1)}px` }}
      onKeyDown={onKeyDown}
    >
      {rowHeight > 0 &&
        shown.map((row) => (
          <div
            key={row}
            role="row"
            aria-rowindex={row + 1}
            class="case-row"
            style={{ top: `${row * rowHeight}px`, gridTemplateColumns: `repeat(${columns}, ${tile}px)`, gap: `${GAP}px` }}
          >
            {cases.slice(row * columns, (row + 1) * columns).map((one, column) => {
              const index = row * columns + column;
              return (
                <Cell
                  key={one.study_instance_uid}
                  one={one}
                  index={index}
                  column={column}
                  reachable={index === active}
                  selected={selected.has(one.study_instance_uid)}
                  activate={activate}
                  select={select}
                />
              );
            })}
          </div>
        ))}
    </div>
  );
}

interface CellProps {
  one: Case;
  index: number;
  column: number;
  reachable: boolean;
  selected: boolean;
  activate: (index: number, focus: boolean) => void;
  select: (index: number, upTo: boolean) => void;
}

/** A case in the grid; it is drawn again only where something of it has changed, for many scroll past. */
class Cell extends Component<CellProps> {
  override shouldComponentUpdate(next: CellProps) {
    return (Object.keys(next) as (keyof CellProps)[]).some((name) => next[name] !== this.props[name]);
  }

  render({ one, index, column, reachable, selected, activate, select }: CellProps) {
    const labels = labelsOf(one);
    const title = titleOf(one);
    return (
      <div role="gridcell" aria-colindex={column + 1} aria-selected={selected} data-index={index}>
        <Tile
          image={one.image_id}
          title={title}
          href={href("cases", one.study_instance_uid)}
          selected={selected}
          tabindex={reachable ? 0 : -1}
          onFocus={() => activate(index, false)}
          onSelect={() => select(index, false)}
        >
          <p class="line">
            <strong>{one.modalities.join(", ") || "–"}</strong> {one.body_parts.join(", ")}
            <Copy text={one.study_instance_uid} what="the study's UID" tabindex={reachable ? 0 : -1} />
          </p>
          <p class="line quiet">
            {date(one.study_date)} · {age(one.patient_age)} {one.patient_sex ?? ""}
          </p>
          <p class="line" title={one.study_description ?? undefined}>
            {one.study_description || "–"}
          </p>
          <p class="line quiet">
            {plural(one.images, "image")}
            {one.quality.map((name) => ` · ${MARKS[name] ?? name}`)}
            {one.drafts > 0 && ` · ${plural(one.drafts, "draft")}`}
          </p>
          <p class="line tags">
            {labels.map(([name, value]) => (
              <LabelTag key={name} name={name} value={value} />
            ))}
          </p>
        </Tile>
      </div>
    );
  }
}

/** A label by sign and word: present, absent, or a number between. */
export function LabelTag({ name, value }: { name: string; value: number }) {
  const [sign, word] = value === 1 ? ["+", "present"] : value === 0 ? ["−", "absent"] : ["?", String(value)];
  return (
    <span class={`tag label-${word === "present" ? "present" : "other"}`} title={`${name}: ${word}`}>
      <span aria-hidden="true">{sign} </span>
      {name}
      <span class="unseen"> {word}</span>
    </span>
  );
}
