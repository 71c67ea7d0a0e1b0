// The keyboard shortcuts, which are those of Jitsi Meet where the function exists in both.

import { texts } from "./texts";

export type Action =
  | "toggle-audio"
  | "toggle-video"
  | "toggle-screen"
  | "toggle-chat"
  | "toggle-people"
  | "toggle-hand"
  | "toggle-view"
  | "toggle-strip"
  | "toggle-fullscreen"
  | "quality"
  | "help"
  | "close";

export interface Shortcut {
  readonly key: string;
  readonly label: string;
  readonly action: Action | "push-to-talk" | "focus-person";
}

export const SHORTCUTS: readonly Shortcut[] = [
  { key: "M", label: texts.keys.audio, action: "toggle-audio" },
  { key: "V", label: texts.keys.video, action: "toggle-video" },
  { key: "D", label: texts.keys.screen, action: "toggle-screen" },
  { key: "C", label: texts.keys.chat, action: "toggle-chat" },
  { key: "P", label: texts.keys.people, action: "toggle-people" },
  { key: "R", label: texts.keys.hand, action: "toggle-hand" },
  { key: "W", label: texts.keys.view, action: "toggle-view" },
  { key: "F", label: texts.keys.strip, action: "toggle-strip" },
  { key: "S", label: texts.keys.fullscreen, action: "toggle-fullscreen" },
  { key: "A", label: texts.keys.quality, action: "quality" },
  { key: texts.keys.space, label: texts.keys.talk, action: "push-to-talk" },
  { key: "0–9", label: texts.keys.person, action: "focus-person" },
  { key: "?", label: texts.keys.help, action: "help" },
];

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly repeat: boolean;
  /** The key goes into a text field or operates a focused control. */
  readonly typing: boolean;
}

export type Command = { readonly action: Action } | { readonly talk: true } | { readonly person: number };

/** What a key press asks for, if anything. */
export function commandFor(press: KeyPress): Command | undefined {
  if (press.ctrlKey || press.metaKey || press.altKey) return undefined;
  if (press.key === "Escape") return { action: "close" };
  if (press.typing || press.repeat) return undefined;
  if (press.key === " ") return { talk: true };
  if (/^\d$/.test(press.key)) return { person: Number(press.key) };
  const found = SHORTCUTS.find((s) => s.key === press.key.toUpperCase() && s.key.length === 1);
  if (found === undefined || found.action === "push-to-talk" || found.action === "focus-person")
    return undefined;
  return { action: found.action };
}
