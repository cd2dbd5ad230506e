// One case at a time, read without the model's score, by keys; what is left, how readers agree, what was learned.
import { href } from "../../router";
import { may, useKnown } from "../../session";
import { AsData, quoted } from "../../parts/as_data";
import { Empty, Failed, Skeleton } from "../../parts/states";
import type { PageProps } from "../../shell/pages";
import { queueAddress, taskOf, type Task } from "./ask";
import { Choices } from "./choices";
import { Pictures } from "./picture";
import { ModelScore } from "./score";
import { Setup, Start } from "./setup";
import { Figures, Left } from "./standing";
import { useWork } from "./work";

export default function Page({ place }: PageProps) {
  const task = taskOf(place);
  return (
    <>
      <div class="row spread">
        <h1>Label</h1>
        {task.labels.length > 0 && <AsData json={queueAddress(task)} command={commandOf(task)} />}
      </div>
      {task.labels.length ? (
        <>
          <Setup task={task} />
          <Desk task={task} />
        </>
      ) : (
        <Start />
      )}
    </>
  );
}

function commandOf(task: Task): string {
  const where = task.where.map((one) => ` --where ${quoted(one)}`).join("");
  return `medsiglip label queue ${quoted(task.labels[0]!)} --order ${task.order} --seed ${task.seed}${where}`;
}

function Desk({ task }: { task: Task }) {
  const { session } = useKnown();
  const work = useWork(task);
  if (work.state === "loading") return <Skeleton rows={1} kind="block" />;
  if (work.state === "error") return <Failed problem={work.problem!} retry={work.retry} />;
  return (
    <div class="label-desk">
      {work.shown ? (
        <Pictures of={work.shown} next={work.ahead} />
      ) : (
        <Done task={task} remaining={work.remaining} labelled={work.labelled} again={work.retry} />
      )}
      <div class="label-side">
        <Choices labels={task.labels} work={work} allowed={may(session, "write")} />
        <Left work={work} />
        <ModelScore task={task} work={work} />
        <Figures task={task} work={work} />
      </div>
    </div>
  );
}

function Done({ task, remaining, labelled, again }: { task: Task; remaining: number; labelled: number; again: () => void }) {
  if (task.order !== "disagreement" && !remaining && !labelled && !task.where.length) {
    return (
      <Empty title="There is no case to label yet">
        <p>Cases come here once their files were ingested.</p>
        <a class="button" href={href("ingest")}>
          Ingest files
        </a>
      </Empty>
    );
  }
  const title =
    task.order === "disagreement"
      ? "No case is left that readers contradict each other about"
      : remaining
        ? "You went through all cases; some were skipped"
        : labelled
          ? "You have labelled all these cases"
          : "No case passes the filters";
  return (
    <Empty title={title}>
      {remaining > 0 && (
        <button type="button" onClick={again}>
          Go through those that are left
        </button>
      )}
      <p>
        {task.order !== "disagreement" && (
          <>
            <a href={href("label", "", { label: task.labels, order: "disagreement", where: task.where })}>Where readers disagree</a>, or{" "}
          </>
        )}
        <a href={href("models")}>train a probe on the label</a>.
      </p>
    </Empty>
  );
}
