// The folders below the allowed roots of the service, one level at a time.
import { useState } from "preact/hooks";
import { plural } from "../../format";
import { get, useLoad } from "../../http";
import { Icon } from "../../parts/icon";
import { ListState, Skeleton } from "../../parts/states";

interface Listing {
  roots: string[];
  path: string | null;
  parent: string | null;
  folders: string[];
  files: number;
  is_cut: boolean;
}

export function Folders({ choose }: { choose: (path: string) => void }) {
  const [path, go] = useState<string | null>(null);
  const found = useLoad(`folders ${path ?? ""}`, (signal) => get<Listing>("/v1/ingest/roots", { path }, signal));
  return (
    <ListState of={found} skeleton={<Skeleton rows={4} />}>
      {(listing) =>
        listing.roots.length ? (
          <>
            {listing.path === null ? (
              <p>Folders that the service may read:</p>
            ) : (
              <p class="row">
                <button type="button" class="bare" aria-label="Up" onClick={() => go(listing.parent)}>
                  <Icon name="left" />
                </button>
                <code>{listing.path}</code>
              </p>
            )}
            <ul class="plain folders" aria-label="Folders">
              {(listing.path === null ? listing.roots : listing.folders).map((name) => (
                <li key={name}>
                  <button type="button" class="bare" onClick={() => go(listing.path === null ? name : `${listing.path.replace(/\/$/, "")}/${name}`)}>
                    {name} <Icon name="right" />
                  </button>
                </li>
              ))}
            </ul>
            {listing.path !== null && (
              <>
                <p class="quiet">
                  {plural(listing.files, "file", "files", listing.is_cut)} and {plural(listing.folders.length, "folder")} in it
                </p>
                <button type="button" class="primary" onClick={() => choose(listing.path!)}>
                  Take this folder
                </button>
              </>
            )}
          </>
        ) : (
          <p>
            The service may read no folder. An administrator names some in the setting <code>MEDSIGLIP_INGEST_ROOTS</code>; files can be sent meanwhile.
          </p>
        )
      }
    </ListState>
  );
}
