// Drafts: the list, and one of them with its sentences, its evidence and what became of it.
import type { PageProps } from "../../shell/pages";
import { DraftList } from "./list";
import { OneDraft } from "./one";

export default function Page({ place }: PageProps) {
  return place.rest ? <OneDraft key={place.rest} id={place.rest} query={place.query} /> : <DraftList query={place.query} />;
}
