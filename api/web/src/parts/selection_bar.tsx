// What can be done with what is selected; every button says with how many.
import type { ComponentChildren } from "preact";
import { plural } from "../format";

export interface SelectionBarProps {
  selected: number;
  clear: () => void;
  children: ComponentChildren;
}

export function SelectionBar({ selected, clear, children }: SelectionBarProps) {
  if (!selected) return null;
  return (
    <section class="selection-bar" aria-label="Selected cases">
      <strong>{plural(selected, "case")} selected</strong>
      {children}
      <button type="button" onClick={clear}>
        Clear
      </button>
    </section>
  );
}
