// Signing in with an API key, for a session of this browser: the key goes into one request and is kept nowhere. Where
// there is an OpenID provider, a link leads to it, and the service sends the browser back here.
import { useRef, useState } from "preact/hooks";
import { post, Problem } from "../../http";
import { navigate, ROOT } from "../../router";
import type { Session } from "../../types";

// What a person can do about it here, beside what the service says.
const CURES: Record<string, string> = {
  "wrong-key": "Check that the whole key was copied, from msk_ on.",
  "bad-request": "Check that the whole key was copied, from msk_ on.",
};

// What went wrong on the way to the provider and back, by the code that the service leaves in the address.
const RETURNED: Record<string, string> = {
  "no-access": "You are known there, and nothing allows you to use this service: ask your administrator for access.",
  "provider-unreachable": "It does not answer: try again in a minute, or use an API key.",
  "wrong-provider": "This service is not set up for it: tell your administrator.",
  "sign-in-lost": "The way back took too long, or began in another window: try again.",
  "sign-in-refused": "It signed nobody in: try again.",
  "rate-limited": "Too many began from here at once: try again in a minute.",
};
const PLACE = "medsiglip-return";

// The provider sends browsers to one address alone: the page where somebody was is kept in this tab until then.
const leave = () => sessionStorage.setItem(PLACE, location.pathname + (location.search.includes("sign-in=") ? "" : location.search));

/** Back to the page from which somebody went to the provider, if this is the return. */
export function comeBack(): void {
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (place?.startsWith(`${ROOT}/app/`) && location.pathname === `${ROOT}/app/`) navigate(place, { replace: true });
}

export function SignIn({ signedIn, ended, provider }: { signedIn: () => void; ended: boolean; provider: string | null }) {
  const returned = new URLSearchParams(location.search).get("sign-in");
  const [problem, show] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const key = field.current!.value.trim();
    if (!key || busy) return;
    setBusy(true);
    show(null);
    post<Session>("/v1/session", { key }).then(
      () => {
        if (field.current) field.current.value = "";
        signedIn();
      },
      (error: unknown) => {
        setBusy(false);
        show(error instanceof Problem ? error : new Problem(0, "screen-error", "Signing in failed", String(error), ""));
        field.current?.focus();
        field.current?.select();
      },
    );
  };
  return (
    <main class="signin">
      <h1>medsiglip</h1>
      <form onSubmit={submit}>
        <h2>Sign in</h2>
        {ended && <p role="status">Your session has ended. Sign in again, and the page opens where you were.</p>}
        {returned && (
          <p role="alert" class="state-error">
            You could not be signed in. {RETURNED[returned] ?? "Try again."} (<code>{returned.slice(0, 40)}</code>)
          </p>
        )}
        {provider && (
          <p>
            <a class="button primary" href={`${ROOT}/app/session/oidc`} target="_self" onClick={leave}>
              Sign in with {provider}
            </a>
          </p>
        )}
        <label for="api-key">API key</label>
        <input
          ref={field}
          id="api-key"
          type="password"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          maxLength={600}
          autofocus
          required
          aria-invalid={problem ? true : undefined}
          aria-describedby={problem ? "sign-in-problem sign-in-how" : "sign-in-how"}
        />
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
        {problem && (
          <p role="alert" id="sign-in-problem" class="state-error">
            {problem.message} {CURES[problem.code]} (<code>{problem.code}</code>)
          </p>
        )}
        <p id="sign-in-how" class="quiet">
          Your administrator makes keys, on the page Audit or with <code>medsiglip keys create NAME --scopes read</code>. This
          browser keeps a cookie instead of the key until you sign out.
        </p>
      </form>
      <p class="notice-line">
        <strong>Research use. Not a medical device.</strong>
      </p>
    </main>
  );
}
