// Documents of accepted drafts on their way to a PACS.
import { count, moment } from "../../format";
import { AsData } from "../../parts/as_data";
import { Empty, Failed, ListState } from "../../parts/states";
import { Table, type Column } from "../../parts/table";
import { href } from "../../router";
import { DELIVERED, FORMATS, pathOf, type Delivery } from "./pacs";
import { usePages } from "./pages";
import { Sign, Why } from "./sign";

const PAGE = 100;

export interface DeliveryPage {
  deliveries: Delivery[];
  cursor?: string | null;
}

export function Deliveries({ connection }: { connection: string }) {
  const path = pathOf(connection, "/deliveries");
  const list = usePages<DeliveryPage>(path, { limit: PAGE });
  return (
    <div class="pacs">
      <p class="row">
        <AsData json={path} />
      </p>
      <ListState of={list.found}>
        {(first) => {
          const all = (list.pages.length ? list.pages : [first]).flatMap((one) => one.deliveries);
          if (!all.length) {
            return (
              <Empty title="Nothing was sent there yet">
                <p>An accepted draft is sent from its page, as DICOM SR, as PDF, or both.</p>
                <a href={href("drafts", "", { status: "accepted" })}>Accepted drafts</a>
              </Empty>
            );
          }
          return <Table caption={`Documents sent to ${connection}`} rows={all} rowKey={(one) => one.id} columns={COLUMNS} />;
        }}
      </ListState>
      {list.more && !list.problem && (
        <p>
          <button type="button" disabled={list.busy} onClick={list.more}>
            Show more
          </button>
        </p>
      )}
      {list.problem && <Failed problem={list.problem} retry={list.more ?? undefined} />}
    </div>
  );
}

const COLUMNS: Column<Delivery>[] = [
  { name: "status", title: "Status", show: (one) => <Sign of={DELIVERED[one.status]} /> },
  { name: "draft", title: "Draft", show: (one) => <a href={href("drafts", one.draft_id)}>{one.draft_id.slice(0, 8)}…</a> },
  { name: "format", title: "As", show: (one) => FORMATS[one.format] ?? one.format },
  { name: "why", title: "Why", show: (one) => (one.failure ? <Why failure={one.failure} /> : "–") },
  { name: "attempts", title: "Tries", number: true, show: (one) => count(one.attempts) },
  { name: "created", title: "Asked", show: (one) => moment(one.created_at) },
  { name: "sent", title: "Sent", show: (one) => moment(one.sent_at) },
];
