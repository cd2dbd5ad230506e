// A table that can be scrolled by keyboard, with columns that can be sorted.
import type { ComponentChildren } from "preact";

export interface Column<Row> {
  name: string;
  title: string;
  show: (row: Row) => ComponentChildren;
  number?: boolean;
}

export interface TableProps<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string | number;
  /** The column that is sorted by, with - before it when descending; headers of `sortable` names are buttons. */
  sort?: string;
  sortable?: readonly string[];
  onSort?: (sort: string) => void;
  rowProps?: (row: Row) => Record<string, unknown>;
}

export function Table<Row>({ caption, columns, rows, rowKey, sort = "", sortable = [], onSort, rowProps }: TableProps<Row>) {
  return (
    <div class="table" tabindex={0} role="region" aria-label={caption}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((one) => (
              <th key={one.name} scope="col" class={one.number ? "number" : undefined} aria-sort={sorted(sort, one.name)}>
                {onSort && sortable.includes(one.name) ? (
                  <button type="button" class="bare" onClick={() => onSort(sort === `-${one.name}` ? one.name : `-${one.name}`)}>
                    {one.title}
                    <span aria-hidden="true">{{ ascending: " ▲", descending: " ▼", none: "" }[sorted(sort, one.name)]}</span>
                  </button>
                ) : (
                  one.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} {...rowProps?.(row)}>
              {columns.map((one) => (
                <td key={one.name} class={one.number ? "number" : undefined}>
                  {one.show(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function sorted(sort: string, name: string): "ascending" | "descending" | "none" {
  return sort === name ? "ascending" : sort === `-${name}` ? "descending" : "none";
}
