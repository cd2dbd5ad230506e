// Icons as paths of 24 by 24, drawn with the colour of the text beside them; they never stand without words.
const PATHS = {
  cases: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 21 21",
  map: "M4 6l5-2 6 2 5-2v14l-5 2-6-2-5 2zM9 4v14M15 6v14",
  label: "M4 4h8l8 8-8 8-8-8zM8 8h.01",
  models: "M4 20V10M10 20V4M16 20v-7M21 20H3",
  drafts: "M6 3h9l4 4v14H6zM9 11h7M9 15h7",
  ingest: "M12 3v11M7 10l5 5 5-5M4 20h16",
  pacs: "M4 4h16v6H4zM4 14h16v6H4zM7 7h.01M7 17h.01M12 7h5M12 17h5",
  audit: "M12 3l8 3v6c0 5-3.5 8-8 9-4.500-1-8-4-8-9V6zM9 12l2 2 4-4",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 20h4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M19 5l-2 2M7 17l-2 2",
  moon: "M20 14a8 8 0 0 1-10-10 8 8 0 1 0 10 10z",
  key: "M14 10a4 4 0 1 0-4 4 4 4 0 0 0 4-4zm-1 2 8 8M18 17l2-2",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 18h.01",
  close: "M5 5l14 14M19 5 5 19",
  copy: "M8 8h11v12H8zM5 16V4h11",
  check: "M4 12l6 6L20 6",
  cross: "M6 6l12 12M18 6 6 18",
  question: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 18h.01",
  warning: "M12 3 2 20h20zM12 10v5M12 18h.01",
  lock: "M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3",
  plus: "M12 4v16M4 12h16",
  minus: "M4 12h16",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  file: "M6 3h9l4 4v14H6z",
  dash: "M6 12h12",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
