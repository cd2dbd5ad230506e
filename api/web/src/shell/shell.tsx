// What stands around every page.
import type { FunctionComponent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { may, useKnown } from "../session";
import { useKeys } from "../keys";
import { href, navigate, usePlace } from "../router";
import { Icon } from "../parts/icon";
import { Empty, Failed, Skeleton } from "../parts/states";
import { Problem } from "../http";
import { Help } from "./help";
import { JobBell } from "./job_bell";
import { Omnibox, useDroppedFiles } from "./omnibox";
import { CASE, PAGES, pageOf, type PageEntry, type PageProps } from "./pages";
import { ThemeChoice } from "./theme_choice";

export function Shell() {
  const place = usePlace();
  const { session, info, lack, refresh, signOut } = useKnown();
  const [help, showHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  const dropping = useDroppedFiles();
  const entry = pageOf(place);
  useKeys({
    "?": () => showHelp(true),
    Escape: () => (help ? showHelp(false) : (document.activeElement as HTMLElement | null)?.blur()),
    ...Object.fromEntries(PAGES.map((one) => [`g ${one.key}`, () => navigate(href(one.name))])),
  });
  const title = entry?.title ?? "Not found";
  const shown = useRef("");
  useEffect(() => {
    document.title = `${title} · medsiglip`; // never what a case is called
    const now = `${place.page}/${place.rest}`;
    if (shown.current && shown.current !== now) main.current?.focus();
    shown.current = now;
  }, [title, place.page, place.rest]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the page
      </a>
      <nav class="rail" aria-label="Pages">
        <a class="brand" href={href("cases")}>
          medsiglip
        </a>
        <ul>
          {PAGES.filter((one) => !one.scope || may(session, one.scope)).map((one) => (
            <li key={one.name}>
              <a href={href(one.name)} aria-current={entry === one || (entry === CASE && one.name === "cases") ? "page" : undefined}>
                <Icon name={one.icon} />
                <span>{one.title}</span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <header class="top">
        <Omnibox />
        <JobBell />
        <button type="button" class="bare" aria-label="Keys and help" onClick={() => showHelp(true)}>
          <Icon name="help" />
        </button>
        <ThemeChoice />
        <span class="who">
          <Icon name="key" /> <span>{session.open ? "no key yet" : session.name}</span>
          {!session.open && (
            <button type="button" onClick={signOut}>
              Sign out
            </button>
          )}
        </span>
      </header>
      <main id="main" ref={main} tabindex={-1}>
        {lack && (
          <div class="note" role="alert">
            <p>
              The model cannot be asked: {lack.detail || lack.title} (<code>{lack.code}</code>
              {lack.requestId && (
                <>
                  , request <code>{lack.requestId}</code>
                </>
              )}
              )
            </p>
            <button type="button" onClick={refresh}>
              Try again
            </button>
          </div>
        )}
        {entry ? (
          <Page key={entry.name} entry={entry} place={place} />
        ) : (
          <Empty title="There is no such page" level="h1">
            <a href={href("cases")}>To the cases</a>
          </Empty>
        )}
      </main>
      <footer class="notice">
        <strong>Research use. Not a medical device.</strong>
        {info?.demonstration && <span>Demonstration model: its answers say nothing about patients.</span>}
      </footer>
      {dropping && <div class="dropping">Drop to search with these pictures</div>}
      {help && <Help close={() => showHelp(false)} />}
    </div>
  );
}

function Page({ entry, place }: { entry: PageEntry } & PageProps) {
  const [shown, show] = useState<FunctionComponent<PageProps> | null>(null);
  const [failed, fail] = useState(false);
  useEffect(() => {
    entry.load().then(
      (loaded) => show(() => loaded.default),
      () => fail(true),
    );
  }, [entry]);
  if (failed) {
    const problem = new Problem(0, "page-not-loaded", "This page could not be loaded", "The service may have been updated.", "");
    return (
      <>
        <h1>{entry.title}</h1>
        <Failed problem={problem} retry={() => location.reload()} />
      </>
    );
  }
  if (!shown) {
    return (
      <>
        <h1 class="unseen">{entry.title}</h1>
        <Skeleton />
      </>
    );
  }
  const Shown = shown;
  return <Shown place={place} />;
}
