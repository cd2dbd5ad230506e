// Light, dark, or as the system has it.
import { useState } from "preact/hooks";
import { Icon } from "../parts/icon";

const NEXT: Record<string, string> = { system: "light", light: "dark", dark: "system" };

export function ThemeChoice() {
  const [theme, choose] = useState(localStorage.getItem("theme") ?? "system");
  const turn = () => {
    const next = NEXT[theme] ?? "system";
    if (next === "system") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("theme", next);
      document.documentElement.dataset.theme = next;
    }
    choose(next);
  };
  return (
    <button type="button" class="bare" onClick={turn} aria-label={`Theme: ${theme}`} title={`Theme: ${theme}`}>
      <Icon name={theme === "dark" ? "moon" : "sun"} />
    </button>
  );
}
