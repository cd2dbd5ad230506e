// What is asked: chips of texts, pictures, studies and examples, with what each kind weighs.
import type { ComponentChildren } from "preact";
import { shortUid } from "../../format";
import { href, setQuery } from "../../router";
import { Chip } from "../../parts/chip";
import { Thumbnail } from "../../parts/thumbnail";
import { kindsOf, LEVELS, USUAL, type Kind, type Question } from "./question";

export interface TrayProps {
  question: Question;
  files: readonly File[];
  dropFile: (file: File) => void;
  /** What a search without a chosen level answered. */
  level: string | null;
}

export function Tray({ question, files, dropFile, level }: TrayProps) {
  const kinds = kindsOf(question, files.length);
  const mixed = kinds.length > 1;
  const without = (name: string, all: readonly (string | number)[], one: string | number) =>
    setQuery({ [name]: all.filter((each) => each !== one), hit: null });
  return (
    <section class="card tray" aria-label="What is asked">
      {question.text && (
        <Part kind="text" title="Text" question={question} weighed={mixed}>
          <Chip name="the text" remove={() => setQuery({ text: null, hit: null })}>
            “{question.text}”
          </Chip>
        </Part>
      )}
      {(question.images.length > 0 || files.length > 0) && (
        <Part kind="image" title="Pictures" question={question} weighed={mixed}>
          {question.images.map((one) => (
            <Chip key={one} name={`image ${one}`} remove={() => without("image", question.images, one)}>
              <span class="chip-picture">
                <Thumbnail image={one} alt="" />
              </span>
              image {one}
            </Chip>
          ))}
          {files.map((one, at) => (
            <Chip key={`${one.name} ${at}`} name={`file ${at + 1}`} remove={() => dropFile(one)}>
              file {at + 1}: {one.name}
            </Chip>
          ))}
        </Part>
      )}
      {question.studies.length > 0 && (
        <Part kind="study" title="Studies" question={question} weighed={mixed}>
          {question.studies.map((one) => (
            <Chip key={one} name="the study" remove={() => without("study", question.studies, one)}>
              <a href={href("cases", one)} title={one}>
                {shortUid(one)}
              </a>
            </Chip>
          ))}
        </Part>
      )}
      {(["more", "less"] as const).map(
        (way) =>
          question[way].length > 0 && (
            <Part key={way} kind={way === "more" ? "positive" : "negative"} title={way === "more" ? "More like" : "Less like"} question={question} weighed>
              {question[way].map((one) => (
                <Chip key={one} name={`the example ${one}`} remove={() => without(way, question[way], one)}>
                  {/^\d+$/.test(one) ? (
                    <>
                      <span class="chip-picture">
                        <Thumbnail image={Number(one)} alt="" />
                      </span>
                      image {one}
                    </>
                  ) : (
                    <a href={href("cases", one)} title={one}>
                      {shortUid(one)}
                    </a>
                  )}
                </Chip>
              ))}
            </Part>
          ),
      )}
      <div class="row tray-how">
        <label>
          A hit is{" "}
          <select value={question.level} onChange={(event) => setQuery({ level: event.currentTarget.value, hit: null })}>
            <option value="">{level && !question.level ? `${named(level)} (usual)` : "as usual"}</option>
            {LEVELS.map((one) => (
              <option key={one} value={one}>
                {named(one)}
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={question.same} onChange={(event) => setQuery({ same: event.currentTarget.checked ? "1" : null, hit: null })} /> Same patient too
        </label>
        <label>
          <input type="checkbox" checked={question.onePerPatient} onChange={(event) => setQuery({ per_patient: event.currentTarget.checked ? "1" : null, hit: null })} /> One hit per patient
        </label>
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            const field = event.currentTarget.elements.namedItem("where") as HTMLInputElement;
            if (field.value.trim()) setQuery({ where: [...question.where, field.value.trim()], hit: null });
            field.value = "";
          }}
        >
          <input name="where" placeholder="filter, such as modality=CT" aria-label="Add a filter" autocomplete="off" spellcheck={false} maxLength={500} />
        </form>
        {question.where.map((one) => (
          <Chip key={one} name={`the filter ${one}`} remove={() => without("where", question.where, one)}>
            <code>{one}</code>
          </Chip>
        ))}
      </div>
    </section>
  );
}

const named = (level: string): string => (level === "image" ? "an image" : `a ${level}`);

interface PartProps {
  kind: Kind;
  title: string;
  question: Question;
  weighed: boolean;
  children: ComponentChildren;
}

function Part({ kind, title, question, weighed, children }: PartProps) {
  const weight = question.weights[kind] ?? USUAL[kind];
  const weigh = (text: string) => {
    const number = Number(text);
    if (!(number > 0)) return;
    const all = { ...question.weights, [kind]: number };
    setQuery({ w: Object.entries(all).map(([name, value]) => `${name}:${value}`), hit: null }, { replace: true });
  };
  return (
    <div class="row tray-part">
      <strong>{title}</strong>
      {children}
      {weighed && (
        <label class="quiet">
          weight{" "}
          <input type="number" min={0.05} max={10} step={0.05} value={weight} onChange={(event) => weigh(event.currentTarget.value)} aria-label={`Weight of ${title.toLowerCase()}`} />
        </label>
      )}
    </div>
  );
}
