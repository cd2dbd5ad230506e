// The probes of the archive, and one of them with all its figures.
import { figure, plural } from "../../format";
import { get, useLoad } from "../../http";
import { AsData } from "../../parts/as_data";
import { Empty, ListState, Skeleton } from "../../parts/states";
import { Table } from "../../parts/table";
import { href, setQuery } from "../../router";
import type { ProbeSummary } from "./models";
import { OneProbe } from "./probe";

export function Probes({ query }: { query: URLSearchParams }) {
  const probe = query.get("probe");
  const found = useLoad("probes", (signal) => get<{ probes: ProbeSummary[] }>("/v1/probes", {}, signal));
  if (probe) return <OneProbe key={probe} name={probe} query={query} />;
  return (
    <ListState of={found} skeleton={<Skeleton rows={4} />}>
      {({ probes }) =>
        probes.length ? (
          <>
            <div class="row spread">
              <p class="quiet">{plural(probes.length, "probe")}, the newest version of each</p>
              <AsData json="/v1/probes" command="medsiglip probe list" />
            </div>
            <Table
              caption="Probes"
              rows={probes}
              rowKey={(one) => one.name}
              columns={[
                {
                  name: "name",
                  title: "Probe",
                  show: (one) => <a href={href("models", "", { probe: one.name })}>{one.name}</a>,
                },
                { name: "version", title: "Version", number: true, show: (one) => one.version ?? "–" },
                { name: "labels", title: "Labels", show: (one) => one.labels.join(", ") },
                { name: "level", title: "By", show: (one) => one.level ?? "–" },
                { name: "groups", title: "Patients", number: true, show: (one) => one.groups ?? "–" },
                { name: "auroc", title: "Macro AUROC", number: true, show: (one) => figure(one.macro_auroc) },
                { name: "warnings", title: "Notes", show: (one) => (one.warnings?.length ? <span class="must">{plural(one.warnings.length, "warning")}</span> : "") },
              ]}
            />
          </>
        ) : (
          <Empty title="There is no probe yet">
            <p>A probe learns a label of your own from cases that are labelled in this archive.</p>
            <button type="button" onClick={() => setQuery({ tab: "train" })}>
              Train a probe
            </button>
          </Empty>
        )
      }
    </ListState>
  );
}
