// Keys of the screen: the part shown last hears first; what is typed into a field is nobody's key.
import { useEffect, useRef } from "preact/hooks";

export type KeyMap = Record<string, (event: KeyboardEvent) => void>;

const stack: { current: KeyMap }[] = [];
let prefix = "";
let prefixAt = 0;
const PREFIX_MS = 1500;

export const keysAreOn = (): boolean => localStorage.getItem("keys") !== "off";
export const switchKeys = (on: boolean): void => localStorage.setItem("keys", on ? "on" : "off");

/**
 * Hear keys while the component is shown: names as in `KeyboardEvent.key`, `g c` for one after the other. With
 * `always`, also where keys are switched off (Escape of a dialog and the like need no such thing).
 */
export function useKeys(map: KeyMap): void {
  const held = useRef(map);
  held.current = map;
  useEffect(() => {
    stack.push(held);
    return () => {
      const at = stack.indexOf(held);
      if (at >= 0) stack.splice(at, 1);
    };
  }, []);
}

const TYPED = "input:not([type=checkbox]):not([type=radio]):not([type=range]):not([type=button]), textarea, select, [contenteditable=true]";

function hear(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !keysAreOn()) return;
  const target = event.target as Element | null;
  if (event.key !== "Escape" && target?.matches?.(TYPED)) return;
  if (event.key === "Escape" && document.querySelector("dialog[open]")) return; // it closes by itself
  // Enter and space press what has the focus.
  if ((event.key === "Enter" || event.key === " ") && target?.matches?.("a[href], button, summary, input")) return;
  const now = Date.now();
  const pair = prefix && now - prefixAt < PREFIX_MS ? `${prefix} ${event.key}` : "";
  prefix = "";
  for (const name of [pair, event.key]) {
    for (let i = stack.length - 1; name && i >= 0; i -= 1) {
      const heard = stack[i]!.current[name];
      if (!heard) continue;
      event.preventDefault();
      heard(event);
      return;
    }
  }
  if (event.key === "g") {
    prefix = "g";
    prefixAt = now;
  }
}

addEventListener("keydown", hear);
