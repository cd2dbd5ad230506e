// The text of a draft sentence by sentence: its verdict, and what a person decides about it.
import { useEffect, useRef } from "preact/hooks";
import { useKeys } from "../../keys";
import { announce } from "../../parts/announce";
import { Icon, type IconName } from "../../parts/icon";
import { setQuery } from "../../router";
import type { Chosen, Deciding } from "./deciding";
import { flagWords, type Choice, type Report, type Sentence } from "./report";
import { SentenceSign } from "./signs";

const CHOICES: readonly { choice: Choice; key: string; word: string; icon: IconName }[] = [
  { choice: "keep", key: "1", word: "Keep", icon: "check" },
  { choice: "edit", key: "2", word: "Edit", icon: "drafts" },
  { choice: "cut", key: "3", word: "Cut", icon: "cross" },
];

export interface SentencesProps {
  report: Report;
  selected: number;
  deciding: Deciding;
  mayDecide: boolean;
}

export function Sentences({ report, selected, deciding, mayDecide }: SentencesProps) {
  const list = useRef<HTMLOListElement>(null);
  const moved = useRef(false);
  const last = report.sentences.length - 1;
  const go = (number: number) => {
    moved.current = true;
    setQuery({ sentence: Math.min(last, Math.max(0, number)) }, { replace: true });
  };
  const decide = (choice: Choice) => {
    const sentence = report.sentences[selected];
    if (mayDecide && sentence) press(deciding, sentence, choice);
  };
  useKeys({
    j: () => go(selected + 1),
    k: () => go(selected - 1),
    n: () => go(nextUndecided(deciding, selected)),
    ...(mayDecide ? Object.fromEntries(CHOICES.map((one) => [one.key, () => decide(one.choice)])) : {}),
  });
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    list.current?.querySelector<HTMLElement>(`[data-sentence="${selected}"]`)?.focus();
  }, [selected]);
  return (
    <ol class="sentences" ref={list} aria-label="Sentences of the draft">
      {report.sentences.map((one) => (
        <Row
          key={one.number}
          sentence={one}
          selected={one.number === selected}
          chosen={deciding.chosen.get(one.number)}
          mayDecide={mayDecide}
          select={() => setQuery({ sentence: one.number }, { replace: true })}
          go={go}
          deciding={deciding}
        />
      ))}
    </ol>
  );
}

/** The next sentence that must be decided, from the beginning again after the last. */
function nextUndecided(deciding: Deciding, from: number): number {
  const open = deciding.undecided;
  return (open.find((one) => one.number > from) ?? open[0])?.number ?? from;
}

function press(deciding: Deciding, sentence: Sentence, choice: Choice): void {
  const now = deciding.chosen.get(sentence.number);
  if (now?.choice === choice) {
    deciding.choose(sentence.number, null);
    announce(`Sentence ${sentence.number + 1}: undecided`);
  } else {
    deciding.choose(sentence.number, choice, now?.text || sentence.text);
    announce(`Sentence ${sentence.number + 1}: ${choice}`);
  }
}

interface RowProps {
  sentence: Sentence;
  selected: boolean;
  chosen: Chosen | undefined;
  mayDecide: boolean;
  select: () => void;
  go: (number: number) => void;
  deciding: Deciding;
}

function Row({ sentence, selected, chosen, mayDecide, select, go, deciding }: RowProps) {
  const undecided = mayDecide && sentence.concerns.length > 0 && !chosen;
  const showChoices = mayDecide && (selected || chosen !== undefined || sentence.concerns.length > 0);
  const classes = [
    "sentence",
    `sentence-${sentence.verdict}`,
    selected ? "selected" : "",
    sentence.line_breaks > 1 ? "sentence-gap" : "",
    chosen?.choice === "cut" ? "sentence-cut" : "",
  ];
  return (
    <li class={classes.filter(Boolean).join(" ")}>
      <button
        type="button"
        class="bare sentence-text"
        data-sentence={sentence.number}
        tabindex={selected ? 0 : -1}
        aria-current={selected ? "true" : undefined}
        onClick={select}
        onKeyDown={(event) => {
          const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
          if (!by) return;
          event.preventDefault();
          go(sentence.number + by);
        }}
      >
        {chosen?.choice === "cut" ? <del>{sentence.text}</del> : sentence.text}
      </button>
      <span class="sentence-signs">
        <SentenceSign verdict={sentence.verdict} />
        {sentence.flags.map((flag) => (
          <span key={flag} class="quiet">
            {flagWords(flag)}
          </span>
        ))}
        {undecided && <strong class="must">decide before it is accepted</strong>}
      </span>
      {showChoices && (
        <span class="row choices" role="group" aria-label={`Sentence ${sentence.number + 1}`}>
          {CHOICES.map((one) => (
            <button key={one.choice} type="button" aria-pressed={chosen?.choice === one.choice} onClick={() => press(deciding, sentence, one.choice)}>
              <Icon name={one.icon} /> {one.word}
              {selected && <kbd>{one.key}</kbd>}
            </button>
          ))}
        </span>
      )}
      {chosen?.choice === "edit" && mayDecide && (
        <Words sentence={sentence} text={chosen.text} write={(text) => deciding.choose(sentence.number, "edit", text)} leave={() => go(sentence.number)} />
      )}
    </li>
  );
}

/** The field of a sentence that is edited: it takes the focus, and Escape gives it back to the sentence. */
function Words({ sentence, text, write, leave }: { sentence: Sentence; text: string; write: (text: string) => void; leave: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (text === sentence.text) field.current?.focus();
  }, []);
  return (
    <textarea
      ref={field}
      class="sentence-edit"
      aria-label={`Words of sentence ${sentence.number + 1}`}
      rows={Math.min(8, 1 + Math.ceil(text.length / 70))}
      maxLength={20000}
      value={text}
      onInput={(event) => write(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        event.currentTarget.closest("li")?.querySelector<HTMLElement>(".sentence-text")?.focus();
        leave();
      }}
    />
  );
}
