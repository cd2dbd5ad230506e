// The keys of the screen, and how to switch them off.
import { useState } from "preact/hooks";
import { keysAreOn, switchKeys } from "../keys";
import { Dialog } from "../parts/dialog";
import { PAGES } from "./pages";

const KEYS: [string, string][] = [
  ["/", "search"],
  ["j  k", "next, previous"],
  ["Enter", "open"],
  ["x", "select"],
  ["s", "similar cases"],
  ["+  −", "more, less like this"],
  ["t", "tag"],
  ["1 – 9", "windows of a picture; labels on the page Label"],
  ["?", "this help"],
  ["Esc", "back"],
];

export function Help({ close }: { close: () => void }) {
  const [on, turn] = useState(keysAreOn());
  return (
    <Dialog title="Keys" close={close}>
      <dl class="keys">
        {[...KEYS, ...PAGES.map((one): [string, string] => [`g ${one.key}`, `go to ${one.title}`])].map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label>
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => {
            switchKeys(event.currentTarget.checked);
            turn(event.currentTarget.checked);
          }}
        />{" "}
        Single keys do something
      </label>
    </Dialog>
  );
}
