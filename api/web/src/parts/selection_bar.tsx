// What can be done with what is selected; every button says with how many.
import type { ComponentChildren } from "preact";
import { plural } from "../format";

export interface SelectionBarProps {
  selected: number;
  clear: () => void;
  /** What is selected, as one and as many. */
  of?: readonly [one: string, many: string];
  children: ComponentChildren;
}

export function SelectionBar({ selected, clear, of = ["case", "cases"], children }: SelectionBarProps) {
  if (!selected) return null;
  return (
    <section class="selection-bar" aria-label={`Selected ${of[1]}`}>
      <strong>{plural(selected, ...of)} selected</strong>
      {children}
      <button type="button" onClick={clear}>
        Clear
      </button>
    </section>
  );
}
