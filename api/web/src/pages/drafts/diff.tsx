// A unified difference with words for who does not see the colours.

const KINDS: Record<string, [string, string]> = { "+": ["diff-new", "added: "], "-": ["diff-old", "removed: "], "@": ["diff-place", ""] };

export function Difference({ text, name }: { text: string; name: string }) {
  const lines = text.split("\n").filter((line) => !line.startsWith("--- ") && !line.startsWith("+++ "));
  return (
    <pre class="diff" tabindex={0} role="region" aria-label={name}>
      {lines.map((line, at) => {
        const [name, word] = KINDS[line[0] ?? ""] ?? ["", ""];
        return (
          <span key={at} class={name}>
            {word && <span class="unseen">{word}</span>}
            {line}
            {"\n"}
          </span>
        );
      })}
    </pre>
  );
}
