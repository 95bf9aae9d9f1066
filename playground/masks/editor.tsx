/** Editors: one to type in, and one that only shows. @module */

import {
  autocompletion,
  type CompletionContext,
  completionKeymap,
  type CompletionResult,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import {
  bracketMatching,
  indentOnInput,
  StreamLanguage,
  syntaxHighlighting,
} from "@codemirror/language";
import { rust } from "@codemirror/legacy-modes/mode/rust";
import { setDiagnostics } from "@codemirror/lint";
import { EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { SCOPE } from "./evaluation.ts";

/** The methods of expressions. */
const METHODS = [
  ..."abs add and at div eq exp floor ge gt le log lt max min mul ne neg not or"
    .split(" "),
  ..."rem select sqrt sub tanh toFloat".split(" "),
];

/** Offers what is in scope, and after a dot the methods of expressions. */
function complete(context: CompletionContext): CompletionResult | null {
  const word = context.matchBefore(/\.?\w*/);
  if (word === null || (word.from === word.to && !context.explicit)) {
    return null;
  }
  const method = word.text.startsWith(".");
  return {
    from: word.from + (method ? 1 : 0),
    options: (method ? METHODS : SCOPE).map((label) => ({
      label,
      type: method ? "method" : "function",
    })),
    validFor: /^\w*$/,
  };
}

const COMMON: Extension = [
  EditorView.lineWrapping,
  syntaxHighlighting(classHighlighter),
];

const TYPED: Extension = [
  COMMON,
  lineNumbers(),
  history(),
  drawSelection(),
  indentOnInput(),
  bracketMatching(),
  javascript(),
  autocompletion({ override: [complete], icons: false }),
  // Without Tab, which leads on to the next button.
  keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
];

const SHOWN: Extension = [
  COMMON,
  // WGSL is like it enough for colours.
  StreamLanguage.define(rust),
  EditorState.readOnly.of(true),
  EditorView.editable.of(false),
];

function replace(view: EditorView, text: string): void {
  const { length } = view.state.doc;
  view.dispatch({ changes: { from: 0, to: length, insert: text } });
}

/** What is typed, and what is wrong with it. */
export interface EditorOptions {
  /** The code. */
  readonly code: string;
  /** Takes other code. */
  readonly onChange: (code: string) => void;
  /** The line that is wrong, from 1, and why. */
  readonly wrong?:
    | { readonly line: number; readonly message: string }
    | undefined;
}

/** An editor of mods. */
export function Editor(
  { code, onChange, wrong }: EditorOptions,
): JSX.Element {
  const parent = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const changed = useRef(onChange);
  changed.current = onChange;
  useEffect(() => {
    const made = new EditorView({
      parent: parent.current!,
      doc: code,
      extensions: [
        TYPED,
        EditorView.contentAttributes.of({
          "aria-label": "The mod's code",
          "aria-describedby": "mistake",
          spellcheck: "false",
        }),
        EditorView.updateListener.of(({ docChanged, state }) => {
          if (docChanged) changed.current(state.doc.toString());
        }),
      ],
    });
    view.current = made;
    return () => made.destroy();
  }, []);
  useEffect(() => {
    const made = view.current!;
    if (made.state.doc.toString() !== code) replace(made, code);
  }, [code]);
  useEffect(() => {
    const { state } = view.current!;
    const known = wrong && wrong.line <= state.doc.lines;
    const diagnostics = known
      ? [{
        from: state.doc.line(wrong.line).from,
        to: state.doc.line(wrong.line).to,
        severity: "error" as const,
        message: wrong.message,
      }]
      : [];
    view.current!.dispatch(setDiagnostics(state, diagnostics));
  }, [wrong?.line, wrong?.message]);
  return <div class="editor" ref={parent} />;
}

/** WGSL, to be read. */
export function Source({ text }: { text: string }): JSX.Element {
  const parent = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  useEffect(() => {
    view.current = new EditorView({
      parent: parent.current!,
      doc: text,
      extensions: [
        SHOWN,
        EditorView.contentAttributes.of({
          "aria-label": "The emitted WGSL",
          tabindex: "0",
        }),
      ],
    });
    return () => view.current!.destroy();
  }, []);
  useEffect(() => {
    if (view.current!.state.doc.toString() !== text) {
      replace(view.current!, text);
    }
  }, [text]);
  return <div class="editor source" ref={parent} />;
}
