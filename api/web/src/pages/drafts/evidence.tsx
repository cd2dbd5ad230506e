// What a sentence stands on: the picture that drives its score, the scores themselves, and similar cases.
import { useEffect, useState } from "preact/hooks";
import { figure, shortUid } from "../../format";
import { get, request, useLoad } from "../../http";
import { Bar } from "../../parts/bar";
import { Copy } from "../../parts/copy";
import { Failed, Withheld } from "../../parts/states";
import { Table } from "../../parts/table";
import { Thumbnail } from "../../parts/thumbnail";
import { href } from "../../router";
import type { CasePage } from "../../types";
import { flagWords, type Check, type Finding, type Report, type Sentence } from "./report";
import { SentenceSign } from "./signs";

export function Evidence({ report, sentence }: { report: Report; sentence: Sentence | undefined }) {
  const named = sentence?.findings ?? [];
  const mine = report.findings.filter((one) => named.includes(one.label));
  const others = report.findings.filter((one) => !named.includes(one.label));
  const images = sentence?.image_ids.length ? sentence.image_ids : report.images.map((one) => one.image_id).slice(0, 1);
  return (
    <aside class="evidence" aria-label="Evidence">
      {images.slice(0, 2).map((image) => (
        <Picture key={image} image={image} report={report} drives={sentence?.image_ids.includes(image) ?? false} />
      ))}
      {sentence && <Checks report={report} sentence={sentence} />}
      {mine.length > 0 && <Scores title="Scores that this sentence was compared with" findings={mine} />}
      {others.length > 0 && (
        <details open={!mine.length}>
          <summary>{mine.length ? "Other scores of the study" : "Scores of the study"}</summary>
          <Scores findings={others} />
        </details>
      )}
      {report.study.not_scored.length > 0 && (
        <details>
          <summary>What was not scored, and why</summary>
          <ul>
            {report.study.not_scored.map((one) => (
              <li key={one}>{one}</li>
            ))}
          </ul>
        </details>
      )}
      <Prior report={report} />
      <Similar report={report} />
    </aside>
  );
}

/** A picture of some size as the service shows it, or why it does not. */
function Picture({ image, report, drives }: { image: number; report: Report; drives: boolean }) {
  const found = useLoad(`preview ${image}`, async (signal) => {
    const answer = await request("GET", `/v1/images/${image}/preview`, {
      query: { size: 512, drawn: "display" },
      headers: { Accept: "image/png, application/problem+json" },
      signal,
    });
    return answer.blob();
  });
  const [url, show] = useState("");
  const blob = found.state === "ready" ? found.value : null;
  useEffect(() => {
    if (!blob) return;
    const made = URL.createObjectURL(blob);
    show(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  const known = report.images.find((one) => one.image_id === image);
  const place = known?.slice_number ? `slice ${known.slice_number} of ${known.slice_count ?? "?"}` : "the picture";
  const labels = known?.labels.join(", ");
  return (
    <figure class="driving">
      {found.state === "error" ? (
        <Withheld code={found.problem.code} />
      ) : url ? (
        <img src={url} alt={`${place} of the study${labels ? `, which drives ${labels}` : ""}`} />
      ) : (
        <span class="bone driving-bone" aria-hidden="true" />
      )}
      <figcaption>
        {drives ? `${place[0]!.toUpperCase()}${place.slice(1)} drives ${labels || "this sentence's score"}.` : `${place[0]!.toUpperCase()}${place.slice(1)} of the study${labels ? `, which drives ${labels}` : ""}.`}{" "}
        <a href={href("cases", report.study_instance_uid, { image })}>Open in the case</a>
      </figcaption>
    </figure>
  );
}

function Checks({ report, sentence }: { report: Report; sentence: Sentence }) {
  const checks = report.checks.filter((one) => one.start < sentence.end && sentence.start < one.end);
  const concerns = report.concerns.filter((one) => sentence.concerns.includes(one.id));
  const flags = new Set(sentence.flags);
  return (
    <section>
      <h2>Sentence {sentence.number + 1}</h2>
      {concerns.map((one) => (
        <p key={one.id} class="concern">
          {one.sentence}
        </p>
      ))}
      {[...flags].map((flag) => (
        <p key={flag}>It {flagWords(flag)}.</p>
      ))}
      {checks.some((one) => one.finding) ? (
        <Table
          caption="Checks of the sentence"
          rows={checks.filter((one) => one.finding)}
          rowKey={(one: Check) => `${one.start}-${one.end}-${one.finding}-${one.verdict}`}
          columns={[
            { name: "finding", title: "Finding", show: (one) => one.finding },
            { name: "verdict", title: "Verdict", show: (one) => <SentenceSign verdict={one.verdict} /> },
            { name: "probability", title: "Score", number: true, show: (one) => figure(one.probability) },
          ]}
        />
      ) : (
        <p class="quiet">It names no finding that could be compared with a score.</p>
      )}
      {checks
        .flatMap((one) => one.attributes)
        .map((one, at) => (
          <p key={at} class={one.verdict === "contradict" ? "concern" : "quiet"}>
            {one.kind}: “{one.text}”, {one.known ? `known: ${one.known}` : "nothing is known of it"}
          </p>
        ))}
    </section>
  );
}

function Scores({ title, findings }: { title?: string; findings: readonly Finding[] }) {
  return (
    <section>
      {title && <h2>{title}</h2>}
      {findings.map((one) => (
        <Bar
          key={`${one.source} ${one.label}`}
          label={one.name || one.label}
          value={one.probability}
          calibrated={one.calibrated}
          verdict={one.present === null ? "undecided" : one.present ? "present" : "absent"}
          note={[one.source, one.picture].filter(Boolean).join(", ")}
        />
      ))}
    </section>
  );
}

function Prior({ report }: { report: Report }) {
  const prior = report.study.prior;
  if (!prior) return null;
  return (
    <details>
      <summary>The study before this, {prior.study_date ?? "of unknown date"}</summary>
      <a href={href("cases", prior.study_instance_uid)}>{shortUid(prior.study_instance_uid)}</a>
      <p class="as-written">{prior.text ?? "It has no report."}</p>
    </details>
  );
}

function Similar({ report }: { report: Report }) {
  const uids = report.evidence.map((one) => one.study_instance_uid);
  const where = `study_instance_uid=${uids.join("|")}`;
  const cases = useLoad(uids.length ? where : null, (signal) => get<CasePage>("/v1/cases", { where, limit: uids.length }, signal));
  if (!uids.length) return null;
  const pictures = new Map((cases.value?.cases ?? []).map((one) => [one.study_instance_uid, one.image_id]));
  return (
    <section>
      <h2>Similar cases of other patients</h2>
      <p class="quiet">They stand beside the draft, never in it.</p>
      {cases.state === "error" && <Failed problem={cases.problem} retry={cases.retry} />}
      <ul class="plain similar">
        {report.evidence.map((one) => (
          <li key={one.study_instance_uid}>
            <a class="similar-picture" href={href("cases", one.study_instance_uid)} aria-label={`Similar case ${shortUid(one.study_instance_uid)}`}>
              {cases.state === "loading" ? <span class="thumbnail bone" /> : <Thumbnail image={pictures.get(one.study_instance_uid) ?? null} alt="" />}
            </a>
            <div>
              <strong>{figure(one.score)}</strong> <span class="quiet">likeness</span>{" "}
              <span class="uid">
                {shortUid(one.study_instance_uid)}
                <Copy text={one.study_instance_uid} what="the UID of the similar case" />
              </span>
              <p class="as-written">{one.text ?? <span class="quiet">no report</span>}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
