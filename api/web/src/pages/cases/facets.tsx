// How many cases have each value, with boxes that filter by it.
import { useState } from "preact/hooks";
import { count, plural } from "../../format";
import type { Loaded } from "../../http";
import { Failed, Skeleton } from "../../parts/states";
import { chosenOf, toggled, valueName, type Facet, type Facets } from "./filters";

const FEW = 7;

export interface FacetPanelProps {
  found: Loaded<Facets>;
  where: readonly string[];
  change: (where: string[]) => void;
}

export function FacetPanel({ found, where, change }: FacetPanelProps) {
  if (found.state === "error") return <Failed problem={found.problem} retry={found.retry} />;
  if (found.value === undefined) return <Skeleton rows={8} />;
  const facets = found.value.facets.filter((one) => one.values.length > 0);
  return (
    <div class="facets" aria-busy={found.state === "loading"}>
      {facets.map((facet) => (
        <FacetBox key={facet.field} facet={facet} where={where} change={change} />
      ))}
    </div>
  );
}

function FacetBox({ facet, where, change }: { facet: Facet; where: readonly string[]; change: (where: string[]) => void }) {
  const [all, showAll] = useState(false);
  const chosen = chosenOf(facet.field, where);
  // A value that is ticked is shown, wherever it stands.
  const shown = all ? facet.values : facet.values.filter((one, place) => place < FEW || chosen.has(one.where));
  const hidden = facet.values.length - shown.length;
  const most = Math.max(...facet.values.map((one) => one.count), 1);
  return (
    <details class="facet" open={facet.field !== "quality" && facet.field !== "burned-in" || chosen.size > 0}>
      <summary>
        {facet.title}
        {chosen.size > 0 && <span class="quiet"> ({chosen.size} chosen)</span>}
      </summary>
      <fieldset>
        <legend class="unseen">{facet.title}</legend>
        {shown.map((one) => (
          <label key={one.where} class="facet-value">
            <input type="checkbox" checked={chosen.has(one.where)} onChange={() => change(toggled(facet.field, one.where, where))} />
            <span class="facet-name">{valueName(facet.field, one.value)}</span>
            <span class="facet-count">
              {count(one.count, one.capped)}
              <span class="unseen"> {one.count === 1 ? "case" : "cases"}</span>
            </span>
            <span class="facet-bar" aria-hidden="true">
              <span style={{ width: `${(100 * one.count) / most}%` }} />
            </span>
          </label>
        ))}
        {hidden > 0 && (
          <button type="button" class="bare" onClick={() => showAll(true)}>
            {hidden} more
          </button>
        )}
        {all && facet.more > 0 && <p class="quiet">and {plural(facet.more, "value")} of fewer cases</p>}
      </fieldset>
    </details>
  );
}
