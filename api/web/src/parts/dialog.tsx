// A modal dialog: the browser keeps the focus in it, gives it back, and closes it by Escape.
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icon";

export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Before the page is drawn: a key pressed after the click is already the dialog's.
  useLayoutEffect(() => {
    const dialog = element.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={element}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      // Chromium asks by `cancel` only once after each gesture of the user, and closes without asking then. Of a dialog
      // that was taken away, which has no element any more, the event comes later and says nothing new.
      onClose={() => element.current && close()}
      onKeyDown={(event) => event.stopPropagation()}
      onClick={(event) => event.target === element.current && close()}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="bare" aria-label="Close" onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}
