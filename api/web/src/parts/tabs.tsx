// Tabs: one is reached by Tab, the others by arrows (WAI-ARIA Authoring Practices, pattern "Tabs").
import type { ComponentChildren } from "preact";

export interface TabsProps {
  /** What the tabs are of; also the beginning of their ids. */
  of: string;
  tabs: readonly (readonly [name: string, title: string])[];
  shown: string;
  open: (name: string) => void;
  children: ComponentChildren;
}

export function Tabs({ of, tabs, shown, open, children }: TabsProps) {
  const id = (name: string) => `${of.toLowerCase()}-tab-${name}`;
  const panel = `${of.toLowerCase()}-panel`;
  const step = (at: number, by: number) => {
    const [next] = tabs[(at + by + tabs.length) % tabs.length]!;
    open(next);
    document.getElementById(id(next))?.focus();
  };
  return (
    <>
      <div role="tablist" aria-label={of} class="tabs">
        {tabs.map(([name, title], at) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={id(name)}
            aria-selected={shown === name}
            aria-controls={panel}
            tabindex={shown === name ? 0 : -1}
            onClick={() => open(name)}
            onKeyDown={(event) => {
              const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
              if (by) step(at, by);
            }}
          >
            {title}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={panel} aria-labelledby={id(shown)}>
        {children}
      </div>
    </>
  );
}
