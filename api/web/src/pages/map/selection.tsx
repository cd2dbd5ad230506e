// What was chosen on the map becomes cases: by their addresses while they are few, else as a collection.
import { useState } from "preact/hooks";
import { count } from "../../format";
import { Problem, put } from "../../http";
import { href, navigate } from "../../router";
import { may, useKnown } from "../../session";
import { announce } from "../../parts/announce";
import { Dialog } from "../../parts/dialog";
import { Failed } from "../../parts/states";

/** As many ids as an address may hold. */
const FEW = 200;
const AT_ONCE = 5000;
const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]*";

export function Selection({ images }: { images: readonly number[] }) {
  const { session } = useKnown();
  const [asking, ask] = useState(false);
  const open = () => navigate(href("cases", "", { where: `image_id=${images.join("|")}` }));
  const mayCollect = may(session, "write");
  return (
    <>
      <button type="button" onClick={open} disabled={images.length > FEW} title={images.length > FEW ? `At most ${FEW}: make a collection` : undefined}>
        Show {count(images.length)} in Cases
      </button>
      <button type="button" onClick={() => ask(true)} disabled={!mayCollect} title={mayCollect ? undefined : "This key may not write"}>
        Collect {count(images.length)}
      </button>
      {images.length > 0 && images.length <= 20 && <a class="button" href={href("search", "", { image: images })}>Similar to {count(images.length)}</a>}
      {asking && <Collecting images={images} close={() => ask(false)} />}
    </>
  );
}

function Collecting({ images, close }: { images: readonly number[]; close: () => void }) {
  const [name, call] = useState("");
  const [done, count_] = useState<number | null>(null);
  const [problem, tell] = useState<Problem | null>(null);
  const collect = async (event: Event) => {
    event.preventDefault();
    tell(null);
    try {
      for (let low = 0; low < images.length; low += AT_ONCE) {
        count_(low);
        await put(`/v1/collections/${encodeURIComponent(name)}`, { where: [`image_id=${images.slice(low, low + AT_ONCE).join("|")}`] });
      }
      announce(`The collection ${name} is made`);
      navigate(href("cases", "", { where: `collection=${name}` }));
    } catch (error) {
      tell(error as Problem);
      count_(null);
    }
  };
  return (
    <Dialog title={`Collect the cases of ${count(images.length)} points`} close={close}>
      <form onSubmit={collect}>
        <p>
          <label class="field">
            Name of the collection{" "}
            <input required pattern={NAME} maxLength={64} value={name} onInput={(event) => call(event.currentTarget.value)} />
          </label>
        </p>
        <p class="quiet small">Letters, digits, dots and dashes. A name that is there already gets the cases added. Name no patient.</p>
        {problem && <Failed problem={problem} />}
        <button type="submit" class="primary" disabled={done !== null}>
          {done === null ? "Collect" : `${count(done)} of ${count(images.length)}`}
        </button>
      </form>
    </Dialog>
  );
}
