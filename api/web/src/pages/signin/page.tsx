// Signing in with an API key, for a session of this browser: the key goes into one request and is kept nowhere.
import { useRef, useState } from "preact/hooks";
import { post, Problem } from "../../http";
import type { Session } from "../../types";

// What a person can do about it here, beside what the service says.
const CURES: Record<string, string> = {
  "wrong-key": "Check that the whole key was copied, from msk_ on.",
  "bad-request": "Check that the whole key was copied, from msk_ on.",
};

export function SignIn({ signedIn, ended }: { signedIn: () => void; ended: boolean }) {
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
