// A small thing that was chosen, with a way to take it away.
import type { ComponentChildren } from "preact";
import { Icon } from "./icon";

export function Chip({ children, name, remove }: { children: ComponentChildren; name: string; remove?: () => void }) {
  return (
    <span class="chip">
      {children}
      {remove && (
        <button type="button" class="bare" aria-label={`Remove ${name}`} onClick={remove}>
          <Icon name="close" />
        </button>
      )}
    </span>
  );
}
