// Who did what to a draft and when, with what changed, what was acknowledged and what was decided.
import { moment, plural } from "../../format";
import { Difference } from "./diff";
import type { Decision, Revision } from "./report";

const STEPS: Record<string, string> = { draft: "drafted", edited: "edited", accepted: "accepted", rejected: "rejected" };
const DONE: Record<Decision["choice"], string> = { keep: "kept", edit: "edited", cut: "cut" };

export function History({ steps }: { steps: readonly Revision[] }) {
  return (
    <section aria-label="History">
      <h2>History</h2>
      <ol class="history">
        {steps.map((one, at) => (
          <li key={at}>
            <strong>{STEPS[one.status] ?? one.status}</strong> by <code>{one.by}</code>, {moment(one.at)}
            {one.reason && <p class="as-written">{one.reason}</p>}
            {one.difference && (
              <details>
                <summary>What changed</summary>
                <Difference name={`What step ${at + 1} changed`} text={one.difference} />
              </details>
            )}
            {one.acknowledged.length > 0 && (
              <details>
                <summary>{plural(one.acknowledged.length, "concern")} acknowledged</summary>
                <ul>
                  {one.acknowledged.map((concern) => (
                    <li key={concern.id}>
                      {concern.sentence} {concern.quote && <q>{concern.quote}</q>}
                    </li>
                  ))}
                </ul>
              </details>
            )}
            {one.decisions.length > 0 && (
              <details>
                <summary>{plural(one.decisions.length, "sentence")} decided one by one</summary>
                <ul>
                  {one.decisions.map((decision) => (
                    <li key={decision.sentence}>
                      {DONE[decision.choice]}: <q>{decision.quote}</q>
                      {decision.text && (
                        <>
                          {" "}
                          into <q>{decision.text}</q>
                        </>
                      )}
                    </li>
                  ))}
                </ul>
              </details>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}
