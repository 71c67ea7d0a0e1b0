// The keyboard shortcuts, which are those of Jitsi Meet where the function exists in both.

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
  { key: "M", label: "Mute or unmute your microphone", action: "toggle-audio" },
  { key: "V", label: "Start or stop your camera", action: "toggle-video" },
  { key: "D", label: "Share or stop sharing your screen", action: "toggle-screen" },
  { key: "C", label: "Open or close the chat", action: "toggle-chat" },
  { key: "P", label: "Open or close the list of people", action: "toggle-people" },
  { key: "R", label: "Raise or lower your hand", action: "toggle-hand" },
  { key: "W", label: "Switch between grid and stage", action: "toggle-view" },
  { key: "F", label: "Show or hide the strip of small pictures", action: "toggle-strip" },
  { key: "S", label: "Full screen on or off", action: "toggle-fullscreen" },
  { key: "A", label: "Choose the picture quality", action: "quality" },
  { key: "Space", label: "Talk while held down", action: "push-to-talk" },
  { key: "0–9", label: "Put a person on stage (0 is you)", action: "focus-person" },
  { key: "?", label: "Show or hide these shortcuts", action: "help" },
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
