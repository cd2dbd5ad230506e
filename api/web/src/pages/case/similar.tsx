// Similar cases of other patients, with pictures, and why each is similar.
import { useState } from "preact/hooks";
import { post, useLoad } from "../../http";
import { figure } from "../../format";
import { href } from "../../router";
import { Dialog } from "../../parts/dialog";
import { ListState, Skeleton } from "../../parts/states";
import { Tile } from "../../parts/tile";
import { Compare } from "../search/compare";
import type { Answer, FoundHit } from "../search/question";
import { Labels } from "../search/results";
import { Standing } from "../search/standing";
import type { Study } from "./study";

const SHOWN = 8;

export function SimilarCases({ study }: { study: Study }) {
  const uid = study.study_instance_uid;
  const found = useLoad(`similar ${uid}`, (signal) =>
    post<Answer>("/v1/search", { study_instance_uid: uid, level: "study", k: SHOWN, per_patient: 1 }, signal),
  );
  const [why, ask] = useState<FoundHit | null>(null);
  return (
    <>
      <ListState of={found} skeleton={<Skeleton rows={4} kind="tile" />}>
        {(answer) =>
          answer.hits.length === 0 ? (
            <p class="quiet">There is no other patient to compare with.</p>
          ) : (
            <div class="tiles tiles-small" role="list" aria-label="Similar cases of other patients">
              {answer.hits.map((hit) => (
                <div key={hit.study_instance_uid} role="listitem">
                  <Tile
                    image={hit.image_id}
                    title={`Similar case ${hit.rank}, score ${figure(hit.score)}`}
                    href={href("cases", hit.study_instance_uid, { image: hit.image_id })}
                    actions={
                      <button type="button" onClick={() => ask(hit)} aria-label={`Why is case ${hit.rank} similar?`}>
                        Why?
                      </button>
                    }
                  >
                    <Standing score={hit.score} percentile={hit.percentile} background={answer.background} />
                    <Labels labels={hit.labels} />
                  </Tile>
                </div>
              ))}
            </div>
          )
        }
      </ListState>
      <p>
        <a href={href("search", "", { study: uid })}>All similar cases, with filters and weights</a>
      </p>
      {why && (
        <Dialog title={`Why case ${why.rank} is similar`} close={() => ask(null)}>
          <Why hit={why} study={study} />
        </Dialog>
      )}
    </>
  );
}

function Why({ hit, study }: { hit: FoundHit; study: Study }) {
  const pair = hit.pairs?.[0];
  const own = pair?.query_image_id ?? study.images[Math.floor(study.images.length / 2)]?.image_id ?? null;
  return (
    <>
      <Compare
        a={{ title: "This case", image: own }}
        b={{
          title: `Similar case ${hit.rank}`,
          image: pair?.image_id ?? hit.image_id,
          href: href("cases", hit.study_instance_uid, { image: hit.image_id }),
        }}
        explain
      />
      {pair && <p class="quiet">The closest of {hit.pairs!.length} pairs of pictures of both studies.</p>}
    </>
  );
}
