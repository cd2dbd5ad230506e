// Which rows of a long list are in sight: only those, and some beside them, are in the document.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";

export interface Sight {
  /** The first row in the document, and the one behind the last. */
  first: number;
  last: number;
}

const BESIDE = 2;

export function useSight(list: RefObject<HTMLElement | null>, rows: number, rowHeight: number): Sight {
  const [sight, look] = useState<Sight>({ first: 0, last: 8 });
  useLayoutEffect(() => {
    let due = 0;
    const measure = () => {
      due = 0;
      const element = list.current;
      if (!element || rowHeight <= 0) return;
      const top = -element.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(top / rowHeight) - BESIDE);
      const last = Math.max(first + 1, Math.ceil((top + innerHeight) / rowHeight) + BESIDE);
      look((held) => (held.first === first && held.last === last ? held : { first, last }));
    };
    const later = () => {
      if (!due) due = requestAnimationFrame(measure);
    };
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
      if (due) cancelAnimationFrame(due);
    };
  }, [rows, rowHeight]);
  return { first: Math.min(sight.first, Math.max(0, rows - 1)), last: Math.min(sight.last, rows) };
}

/** How wide an element is, in CSS pixels. */
export function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, measured] = useState(0);
  useLayoutEffect(() => {
    if (!element.current) return;
    measured(element.current.clientWidth);
    const observer = new ResizeObserver((entries) => measured(entries[0]!.contentRect.width));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** How many CSS pixels a rem has: texts grow, and rows with them. */
export function useRem(): number {
  const [rem, measured] = useState(16);
  useEffect(() => {
    measured(parseFloat(getComputedStyle(document.documentElement).fontSize) || 16);
  }, []);
  return rem;
}

/** Scroll so that a row is in sight, between what sticks to the top and to the bottom of the window. */
export function scrollToRow(list: HTMLElement, row: number, rowHeight: number): void {
  const top = list.getBoundingClientRect().top + row * rowHeight;
  const above = document.querySelector(".top")?.getBoundingClientRect().height ?? 0;
  const below = 90;
  if (top < above) scrollBy(0, top - above - 8);
  else if (top + rowHeight > innerHeight - below) scrollBy(0, top + rowHeight - innerHeight + below);
}
