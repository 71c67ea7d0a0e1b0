// The conversation: messages to all and to one person, with a count of unread ones.

import type { ChatMessage } from "../protocol/room";
import { Value } from "./observable";

export interface ChatEntry {
  readonly id: string;
  readonly own: boolean;
  readonly name: string;
  /** For a private message, the name of the other person. */
  readonly privateWith: string | undefined;
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface ChatState {
  readonly entries: readonly ChatEntry[];
  readonly unread: number;
  readonly error: string;
}

const MAX_ENTRIES = 1_000;
export const MAX_MESSAGE = 4_000;

export class Chat {
  readonly state = new Value<ChatState>({ entries: [], unread: 0, error: "" });
  private open = false;
  private readonly seen = new Set<string>();

  setOpen(open: boolean): void {
    this.open = open;
    if (open) this.state.update((s) => ({ ...s, unread: 0 }));
  }

  add(entry: ChatEntry): void {
    // After a reconnection the room repeats its history.
    if (this.seen.has(entry.id)) return;
    this.seen.add(entry.id);
    this.state.update((s) => ({
      entries: [...s.entries, entry].slice(-MAX_ENTRIES),
      unread: this.open || entry.own ? s.unread : s.unread + 1,
      error: "",
    }));
  }

  fail(detail: string): void {
    const error =
      detail === "" ? "The message could not be sent." : `The message could not be sent: ${detail}`;
    this.state.update((s) => ({ ...s, error }));
  }
}

/** An incoming message as an entry. Private ones of our own are added by the sender. */
export function entryFrom(
  message: ChatMessage,
  ownId: string,
  nameOf: (id: string) => string,
  now: number,
): ChatEntry {
  const name = nameOf(message.from);
  return {
    id: message.id,
    own: message.from === ownId,
    name,
    privateWith: message.isPrivate ? name : undefined,
    text: message.text,
    at: message.sentAt ?? now,
  };
}

export type TextPart = { readonly text: string } | { readonly link: string };

/** Splits text so that its web addresses can be links. */
export function linkify(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let at = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g)) {
    if (match.index > at) parts.push({ text: text.slice(at, match.index) });
    parts.push({ link: match[0] });
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}
