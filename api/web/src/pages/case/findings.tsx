// What the model finds in a study: bars with what they are worth, and a choice of what colours the slices.
import { useState } from "preact/hooks";
import { useLoad, type Loaded } from "../../http";
import { plural } from "../../format";
import { href, setQuery } from "../../router";
import { useKnown } from "../../session";
import { Bar } from "../../parts/bar";
import { Failed, Skeleton } from "../../parts/states";
import { askable, intervalsOf, type Score, type Scores } from "./asked";

export interface FindingsProps {
  question: string | null;
  scores: Loaded<Scores>;
  label: string | null;
  /** To the image that drives a finding. */
  toImage: (image: number) => void;
}

export function Findings({ question, scores, label, toImage }: FindingsProps) {
  const { info } = useKnown();
  const answer = scores.state === "ready" ? scores.value : undefined;
  const calibrated = answer?.scores.some((one) => one.calibrated) ?? false;
  const intervals = useLoad(calibrated && question ? `intervals ${question}` : null, (signal) => intervalsOf(question!, signal));
  const bins = intervals.state === "ready" ? intervals.value : null;
  const shown = (one: Score) => (
    <Finding key={one.label} one={one} chosen={one.label === label} bin={bins?.(one.label, one.probability) ?? null} sliced={answer?.by_image !== undefined} toImage={toImage} />
  );
  const fitting = (answer?.scores ?? []).filter((one) => one.fits !== false);
  const about = fitting.length ? fitting : (answer?.scores ?? []);
  const others = (answer?.scores ?? []).filter((one) => !about.includes(one));
  return (
    <section class="card findings" aria-labelledby="findings-title">
      <h2 id="findings-title">Findings</h2>
      <Asking question={question} />
      {scores.state === "error" && <Failed problem={scores.problem} retry={scores.retry} />}
      {question !== null && scores.state === "loading" && <Skeleton rows={5} />}
      {answer && (
        <>
          {answer.trained_on && (
            <p class="note">
              This probe was trained on this patient, so it has learned these answers. What it is worth on new patients, its
              out-of-fold figures say: <a href={href("models", "", { probe: answer.name })}>open the probe</a>.
            </p>
          )}
          {answer.in_scope === false && <p class="note">The picture or the labels are like nothing in this archive: the scores mean little.</p>}
          {!calibrated && (
            <p class="quiet">Scores rank cases; they are no probabilities until a calibration is made (Models).</p>
          )}
          {answer.by_image === undefined && <p class="quiet">This probe scores a study as a whole: its slices have no scores.</p>}
          <div role="radiogroup" aria-label="The finding that colours the slices">
            {about.map(shown)}
            {others.length > 0 && (
              <details>
                <summary class="quiet">{plural(others.length, "label")} about other pictures</summary>
                {others.map(shown)}
              </details>
            )}
          </div>
          {(answer.warnings ?? []).map((one) => (
            <p key={one} class="quiet">
              {one}
            </p>
          ))}
          {info?.demonstration && <p class="quiet">From the demonstration model: says nothing about patients.</p>}
        </>
      )}
    </section>
  );
}

interface FindingProps {
  one: Score;
  chosen: boolean;
  bin: { n: number; ci: [number, number] } | null;
  /** Slices have scores that the finding may colour. */
  sliced: boolean;
  toImage: (image: number) => void;
}

function Finding({ one, chosen, bin, sliced, toImage }: FindingProps) {
  const driving = one.driving?.image_id;
  return (
    <div class={`finding${one.fits === false ? " finding-unfit" : ""}`}>
      <input type="radio" name="finding" disabled={!sliced} checked={chosen} aria-label={`Colour the slices by ${one.label}`} onChange={() => setQuery({ label: one.label }, { replace: true })} />
      <Bar
        label={one.label}
        value={one.probability}
        interval={one.calibrated ? bin?.ci : null}
        calibrated={one.calibrated}
        verdict={one.verdict ?? null}
        note={bin ? `of ${bin.n} cases that scored so` : undefined}
      />
      {driving != null && (
        <button type="button" class="bare" title="To the picture that drives this score" aria-label={`To the picture that drives ${one.label}`} onClick={() => (setQuery({ label: one.label }, { replace: true }), toImage(driving))}>
          ▲
        </button>
      )}
    </div>
  );
}

function Asking({ question }: { question: string | null }) {
  const known = useLoad("askable", askable);
  const own = question?.startsWith("labels:") ? question.slice("labels:".length) : "";
  const [text, write] = useState(own);
  const [free, open] = useState(own !== "");
  if (known.state === "error") return <Failed problem={known.problem} retry={known.retry} />;
  if (known.state !== "ready") return <Skeleton rows={1} />;
  const choose = (value: string) => {
    if (value === "labels:") open(true);
    else {
      open(false);
      setQuery({ ask: value, label: null }, { replace: true });
    }
  };
  return (
    <form
      class="row asking"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) setQuery({ ask: `labels:${text.trim()}`, label: null }, { replace: true });
      }}
    >
      <label>
        Asked with{" "}
        <select value={free ? "labels:" : (question ?? "")} onChange={(event) => choose(event.currentTarget.value)}>
          {question === null && <option value="">choose…</option>}
          <optgroup label="Prompt sets">
            {known.value.prompts.map((one) => (
              <option key={one.name} value={`prompts:${one.name}`}>
                {one.name}
              </option>
            ))}
          </optgroup>
          {known.value.probes.length > 0 && (
            <optgroup label="Probes">
              {known.value.probes.map((one) => (
                <option key={one.name} value={`probe:${one.name}`}>
                  {one.name}
                </option>
              ))}
            </optgroup>
          )}
          <option value="labels:">labels of your own…</option>
        </select>
      </label>
      {free && (
        <>
          <input value={text} onInput={(event) => write(event.currentTarget.value)} placeholder="nodule, pleural effusion" aria-label="Labels, separated by commas" maxLength={1000} />
          <button type="submit">Ask</button>
        </>
      )}
    </form>
  );
}
