// The screen: asks who is signed in, and shows the shell or the page that signs in.
import { render } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { del, get, onSignedOut, useLoad } from "./http";
import { followLinks } from "./router";
import { KnownContext } from "./session";
import type { Info, Session } from "./types";
import { announce, LiveRegion } from "./parts/announce";
import { Failed, Skeleton } from "./parts/states";
import { forgetThumbnails } from "./parts/thumbnail";
import { forgetQuestions } from "./pacs_question";
import { comeBack, SignIn } from "./pages/signin/page";
import { Shell } from "./shell/shell";

function Screen() {
  const [provider, name] = useState<string | null>(null);
  const session = useLoad("session", async (signal) => {
    const said = await get<{ signed_in: boolean; provider?: string }>("/app/session", {}, signal);
    name(said.provider ?? null);
    if (!said.signed_in) return null;
    const found = await get<Session>("/v1/session", {}, signal);
    comeBack();
    return found;
  });
  const [left, leave] = useState<"" | "signed-out" | "ended">("");
  const here = session.state === "ready" && session.value !== null && !left;
  const info = useLoad(here ? "info" : null, (signal) => get<Info>("/v1/info", {}, signal));
  useEffect(
    () =>
      onSignedOut(() => {
        forgetAll();
        leave((before) => before || "ended");
      }),
    [],
  );
  const refresh = useCallback(() => {
    leave("");
    session.retry();
    info.retry();
  }, []);
  const signOut = useCallback(() => {
    del("/v1/session").then(
      () => {
        forgetAll();
        announce("Signed out");
        leave("signed-out");
      },
      () => announce("Signing out failed: try again"),
    );
  }, []);
  const nobody = session.state === "ready" && session.value === null;
  if (left || nobody || (session.state === "error" && session.problem.status === 401)) return <SignIn signedIn={refresh} ended={left === "ended"} provider={provider} />;
  if (session.state === "error" || !session.value) {
    return (
      <main class="signin">
        <h1>medsiglip</h1>
        {session.state === "error" ? <Failed problem={session.problem} retry={session.retry} /> : <Skeleton rows={3} />}
        <p>
          <strong>Research use. Not a medical device.</strong>
        </p>
      </main>
    );
  }
  const known = { session: session.value, info: info.state === "ready" ? info.value : null, informed: info.state !== "loading", lack: info.problem, refresh, signOut };
  return (
    <KnownContext.Provider value={known}>
      <Shell />
    </KnownContext.Provider>
  );
}

// Another person may sign in next.
function forgetAll(): void {
  forgetThumbnails();
  forgetQuestions();
}

addEventListener("click", followLinks);
render(
  <>
    <Screen />
    <LiveRegion />
  </>,
  document.getElementById("app")!,
);
