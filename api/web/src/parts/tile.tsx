// A case or a hit as a picture with words below.
import type { ComponentChildren } from "preact";
import { Thumbnail } from "./thumbnail";

export interface TileProps {
  image: number | null;
  title: string;
  href: string;
  selected?: boolean;
  /** Roving tabindex: 0 for the one tile that Tab reaches. */
  tabindex?: 0 | -1;
  onSelect?: () => void;
  onFocus?: () => void;
  children?: ComponentChildren;
  /** Buttons over the picture, shown with focus or pointer. */
  actions?: ComponentChildren;
}

export function Tile({ image, title, href, selected, tabindex = 0, onSelect, onFocus, children, actions }: TileProps) {
  return (
    <article class={`tile${selected ? " selected" : ""}`}>
      <a class="tile-picture" href={href} tabindex={tabindex} onFocus={onFocus}>
        <span class="unseen">{title}</span>
        <Thumbnail image={image} alt="" />
      </a>
      {onSelect && (
        <label class="tile-select">
          <input type="checkbox" checked={selected} tabindex={tabindex} onChange={onSelect} aria-label={`Select ${title}`} />
        </label>
      )}
      <div class="tile-words">{children}</div>
      {actions && <div class="tile-actions">{actions}</div>}
    </article>
  );
}
