// Signing in with an API key, for a session of this browser.
import { useState } from "preact/hooks";
import { post, Problem } from "../../http";
import type { Session } from "../../types";

export function SignIn({ signedIn }: { signedIn: () => void }) {
  const [key, write] = useState("");
  const [problem, show] = useState<Problem | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    show(null);
    post<Session>("/v1/session", { key: key.trim() }).then(signedIn, (error: unknown) => {
      if (error instanceof Problem) show(error);
    });
  };
  return (
    <main class="signin">
      <h1>medsiglip</h1>
      <form onSubmit={submit}>
        <label>
          API key
          <input type="password" autocomplete="off" value={key} onInput={(event) => write(event.currentTarget.value)} required />
        </label>
        <button type="submit" class="primary">
          Sign in
        </button>
        {problem && (
          <p role="alert" class="state-error">
            {problem.message} (<code>{problem.code}</code>)
          </p>
        )}
      </form>
      <p class="quiet">
        A key is made with <code>medsiglip keys create NAME --scopes read</code>. Research use. Not a medical device.
      </p>
    </main>
  );
}
