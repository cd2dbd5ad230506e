// One live region for the whole screen: counts and outcomes are said as well as shown.
import { useEffect, useState } from "preact/hooks";

let tell: ((text: string) => void) | null = null;

/** Say a sentence to who listens instead of looking. */
export function announce(text: string): void {
  tell?.(text);
}

export function LiveRegion() {
  const [text, say] = useState("");
  useEffect(() => {
    tell = (next) => {
      say(""); // the same sentence twice is two events
      setTimeout(() => say(next), 30);
    };
    return () => {
      tell = null;
    };
  }, []);
  return (
    <div class="unseen" role="status" aria-live="polite">
      {text}
    </div>
  );
}
