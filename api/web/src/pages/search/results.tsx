// The hits of a question as tiles, reached with one Tab and walked by arrow keys or j and k.
import { useRef, useState } from "preact/hooks";
import { useKeys } from "../../keys";
import { href, navigate, setQuery } from "../../router";
import { Tile } from "../../parts/tile";
import { like, type Answer, type FoundHit, type Question } from "./question";
import { Standing } from "./standing";

export interface ResultsProps {
  question: Question;
  answer: Answer;
  hits: readonly FoundHit[];
  /** The image of the hit that stands beside the question. */
  chosen: number | null;
  selected: ReadonlySet<number>;
  select: (image: number) => void;
}

export function Results({ question, answer, hits, chosen, selected, select }: ResultsProps) {
  const [at, move] = useState(0);
  const grid = useRef<HTMLDivElement>(null);
  const now = Math.min(at, Math.max(0, hits.length - 1));
  const reach = (next: number) => {
    const to = Math.min(hits.length - 1, Math.max(0, next));
    move(to);
    grid.current?.querySelectorAll<HTMLElement>(".tile-picture")[to]?.focus();
  };
  const inGrid = () => grid.current?.contains(document.activeElement) ?? false;
  const columns = () => getComputedStyle(grid.current!).gridTemplateColumns.split(" ").length;
  const example = (hit: FoundHit) => (answer.level === "study" ? hit.study_instance_uid : String(hit.image_id));
  const act = (does: (hit: FoundHit) => void) => () => {
    const hit = hits[now];
    if (hit) does(hit);
  };
  useKeys({
    j: () => reach(inGrid() ? now + 1 : now),
    k: () => reach(now - 1),
    x: act((hit) => select(hit.image_id)),
    s: act((hit) => navigate(similar(hit, answer))),
    "+": act((hit) => like(question, example(hit), "more")),
    "-": act((hit) => like(question, example(hit), "less")),
    b: act((hit) => setQuery({ hit: hit.image_id }, { replace: true })),
    w: act((hit) => setQuery({ hit: hit.image_id, why: "1" }, { replace: true })),
  });
  const arrow = (event: KeyboardEvent) => {
    if (!(event.target as Element).matches(".tile-picture")) return;
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, ArrowDown: now + columns(), ArrowUp: now - columns(), Home: 0, End: hits.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    reach(to);
  };
  return (
    <div ref={grid} class="tiles" role="list" aria-label="Hits, best first" onKeyDown={arrow}>
      {hits.map((hit, index) => (
        <div key={`${hit.rank} ${hit.image_id}`} role="listitem">
          <Tile
            image={hit.image_id}
            title={`Hit ${hit.rank}${hit.modality ? `, ${hit.modality}` : ""}`}
            href={href("cases", hit.study_instance_uid, { image: hit.image_id })}
            tabindex={index === now ? 0 : -1}
            selected={selected.has(hit.image_id)}
            onSelect={() => select(hit.image_id)}
            onFocus={() => move(index)}
            actions={
              <>
                <button type="button" aria-pressed={question.more.includes(example(hit))} onClick={() => like(question, example(hit), "more")} aria-label={`More like hit ${hit.rank}`}>
                  + more
                </button>
                <button type="button" aria-pressed={question.less.includes(example(hit))} onClick={() => like(question, example(hit), "less")} aria-label={`Less like hit ${hit.rank}`}>
                  − less
                </button>
                <button type="button" aria-pressed={chosen === hit.image_id} onClick={() => setQuery({ hit: chosen === hit.image_id ? null : hit.image_id }, { replace: true })} aria-label={`Hit ${hit.rank} beside the question`}>
                  Beside
                </button>
                <a class="button" href={similar(hit, answer)} aria-label={`Similar to hit ${hit.rank}`}>
                  Similar
                </a>
              </>
            }
          >
            <div class="row spread">
              <strong>
                {hit.rank}. {hit.modality ?? ""}
              </strong>
              <Standing score={hit.score} percentile={hit.percentile} background={answer.background} />
            </div>
            <Labels labels={hit.labels} />
          </Tile>
        </div>
      ))}
    </div>
  );
}

/** The search for what is like a hit. */
export const similar = (hit: FoundHit, answer: Answer): string =>
  answer.level === "study" ? href("search", "", { study: hit.study_instance_uid }) : href("search", "", { image: hit.image_id });

export function Labels({ labels }: { labels: Record<string, number> }) {
  const present = Object.entries(labels).filter(([, value]) => value > 0.5);
  if (!present.length) return null;
  return (
    <div class="row tags">
      {present.slice(0, 4).map(([name]) => (
        <span key={name} class="tag">
          {name}
        </span>
      ))}
      {present.length > 4 && <span class="quiet">and {present.length - 4} more</span>}
    </div>
  );
}
