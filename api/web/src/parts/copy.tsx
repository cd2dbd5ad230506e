// A text with a button that copies it.
import { announce } from "./announce";
import { Icon } from "./icon";

export function Copy({ text, what, tabindex }: { text: string; what: string; tabindex?: 0 | -1 }) {
  return (
    <button
      type="button"
      class="bare"
      tabindex={tabindex}
      aria-label={`Copy ${what}`}
      title={`Copy ${what}`}
      onClick={(event) => {
        event.stopPropagation();
        navigator.clipboard.writeText(text).then(
          () => announce(`${what} is copied`),
          () => announce(`${what} could not be copied`),
        );
      }}
    >
      <Icon name="copy" />
    </button>
  );
}
