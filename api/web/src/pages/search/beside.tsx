// One hit beside what was asked, and why it was found.
import { get, useLoad } from "../../http";
import type { CasePage } from "../../types";
import { figure, shortUid } from "../../format";
import { href, setQuery } from "../../router";
import { Icon } from "../../parts/icon";
import { Compare, type Side } from "./compare";
import type { Answer, FoundHit, Question } from "./question";

export interface BesideProps {
  hit: FoundHit;
  answer: Answer;
  question: Question;
  files: readonly File[];
  explain: boolean;
}

export function Beside({ hit, answer, question, files, explain }: BesideProps) {
  const pair = hit.pairs?.[0];
  const given = askedSide(answer, question, files, pair?.query_image_id ?? null);
  const study = given || question.text ? null : (question.studies[0] ?? question.more.find((one) => one.includes(".")) ?? null);
  const standing = useLoad(study, (signal) => get<CasePage>("/v1/cases", { where: `study_instance_uid=${study}`, limit: 1 }, signal));
  const image = standing.state === "ready" ? (standing.value.cases[0]?.image_id ?? null) : null;
  const asked = given ?? (study && image !== null ? { title: `Asked: ${shortUid(study)}`, image, href: href("cases", study) } : null);
  const found: Side = {
    title: `Hit ${hit.rank}${hit.modality ? `, ${hit.modality}` : ""}`,
    image: pair?.image_id ?? hit.image_id,
    href: href("cases", hit.study_instance_uid, { image: hit.image_id }),
  };
  const text = question.text || undefined;
  const can = asked !== null || text !== undefined;
  return (
    <section class="card beside" aria-label="The question and a hit">
      <div class="row spread">
        <h2>
          Hit {hit.rank}: {figure(hit.score)}
        </h2>
        <div class="row">
          <button type="button" aria-pressed={explain} disabled={!can} onClick={() => setQuery({ why: explain ? null : "1" }, { replace: true })}>
            <kbd>w</kbd> Why similar
          </button>
          <button type="button" class="bare" aria-label="Close" onClick={() => setQuery({ hit: null, why: null }, { replace: true })}>
            <Icon name="close" />
          </button>
        </div>
      </div>
      {asked === null && text && (
        <blockquote class="asked-text">
          <span class="quiet">Asked</span> “{text}”
        </blockquote>
      )}
      <Compare a={asked} b={found} text={asked === null ? text : undefined} explain={explain && can} />
      {pair && (
        <p class="quiet">The closest of {hit.pairs!.length} pairs of pictures of both studies: cosine {figure(pair.cosine)}.</p>
      )}
    </section>
  );
}

// The picture that was asked about: that of the closest pair, the stored image, or the file.
function askedSide(answer: Answer, question: Question, files: readonly File[], paired: number | null): Side | null {
  if (paired !== null) return { title: question.studies[0] ? `Asked: ${shortUid(question.studies[0])}` : "Asked", image: paired };
  if (question.images[0]) return { title: `Asked: image ${question.images[0]}`, image: question.images[0] };
  if (files[0]) return { title: `Asked: ${files[0].name}`, image: storedOf(answer), file: files[0] };
  const example = question.more.find((one) => /^\d+$/.test(one));
  return example && !question.text ? { title: `Asked: like image ${example}`, image: Number(example) } : null;
}

// A file that the archive has is shown as it is stored.
function storedOf(answer: Answer): number | null {
  return (answer.query["image_id"] as number | null | undefined) ?? null;
}
