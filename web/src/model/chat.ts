// The conversation: messages to all and to one person, with a count of unread ones. What cannot be sent stays in the
// field, and nothing meant for one person ever goes to another.

import type { ChatError, ChatMessage } from "../protocol/room";
import type { Link } from "./link";
import type { Notices } from "./notices";
import { Value } from "./observable";
import { texts } from "./texts";
import type { View } from "./view";

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

export interface Recipient {
  readonly id: string;
  readonly name: string;
  /** Whether they are in the room now. */
  readonly here: boolean;
}

export interface ChatState {
  readonly entries: readonly ChatEntry[];
  readonly unread: number;
  readonly error: string;
  /** Who gets the next message; undefined is everybody. */
  readonly to: Recipient | undefined;
  /** What stands in the field. */
  readonly draft: string;
}

export interface ChatOptions {
  readonly link: Link;
  readonly view: View;
  readonly notices: Notices;
  readonly nameOf: (id: string) => string;
  readonly wallClock: () => number;
}

const MAX_ENTRIES = 1_000;
const MAX_SEEN = 2 * MAX_ENTRIES;
const MAX_PENDING = 50;
const EXCERPT = 120;
export const MAX_MESSAGE = 4_000;

interface Pending {
  readonly text: string;
  readonly to: Recipient | undefined;
}

export class Chat {
  readonly state = new Value<ChatState>({ entries: [], unread: 0, error: "", to: undefined, draft: "" });
  private readonly options: ChatOptions;
  private readonly seen = new Set<string>();
  /** Sent and not yet seen to have arrived, oldest first. */
  private readonly pending = new Map<string, Pending>();

  constructor(options: ChatOptions) {
    this.options = options;
    const { link, view } = options;
    link.on("message", (message) => this.onMessage(message));
    link.on("chatError", (error) => this.onError(error));
    link.on("roster", () => this.checkRecipient());
    link.onReset(() => {
      this.checkRecipient();
      this.takeBack();
    });
    view.state.subscribe(() => this.isOpen() && this.change({ unread: 0 }));
  }

  private change(change: Partial<ChatState>): void {
    this.state.update((s) => ({ ...s, ...change }));
  }

  private isOpen(): boolean {
    return this.options.view.state.get().panel === "chat";
  }

  // --- incoming -----------------------------------------------------------------------------

  private onMessage(message: ChatMessage): void {
    this.pending.delete(message.id);
    const { link, nameOf, wallClock, notices } = this.options;
    const entry = entryFrom(message, link.conference.endpointId, nameOf, wallClock());
    if (!this.add(entry) || entry.own || this.isOpen()) return;
    notices.show(texts.said(entry.name, entry.text.slice(0, EXCERPT), entry.privateWith !== undefined));
  }

  private add(entry: ChatEntry): boolean {
    // After a reconnection the room repeats its history.
    if (this.seen.has(entry.id)) return false;
    this.seen.add(entry.id);
    if (this.seen.size > MAX_SEEN)
      for (const oldest of [...this.seen].slice(0, MAX_ENTRIES)) this.seen.delete(oldest);
    const { entries, unread } = this.state.get();
    this.change({
      entries: [...entries, entry].slice(-MAX_ENTRIES),
      unread: this.isOpen() || entry.own ? unread : unread + 1,
    });
    return true;
  }

  // --- sending ------------------------------------------------------------------------------

  setDraft(draft: string): void {
    this.change({ draft: draft.slice(0, MAX_MESSAGE) });
  }

  /** Chooses who gets the next message; undefined is everybody. */
  setTo(id: string | undefined): void {
    const to = id === undefined ? undefined : { id, name: this.options.nameOf(id), here: true };
    this.change({ to, error: "" });
    this.checkRecipient();
  }

  private checkRecipient(): void {
    const { to } = this.state.get();
    if (to === undefined) return;
    const here = this.options.link.conference.room?.occupants.has(to.id) ?? false;
    if (here !== to.here) this.change({ to: { ...to, here }, error: "" });
  }

  /** Sends what stands in the field. If that cannot be, the text stays and the reason is said. */
  send(): void {
    const { conference } = this.options.link;
    const { to, draft } = this.state.get();
    const text = draft.trim();
    if (text === "") return;
    if (to?.here === false) {
      this.change({ error: texts.recipientLeft(to.name) });
    } else if (conference.room === undefined || conference.state !== "joined") {
      this.change({ error: texts.notConnected });
    } else {
      const id = conference.room.sendMessage(text, to?.id);
      this.remember(id, { text, to });
      this.change({ draft: "", error: "" });
      if (to !== undefined) this.addPrivate(id, text, to);
    }
  }

  private remember(id: string, pending: Pending): void {
    this.pending.set(id, pending);
    const [oldest] = this.pending.keys();
    if (this.pending.size > MAX_PENDING && oldest !== undefined) this.pending.delete(oldest);
  }

  /** The room sends group messages back to us, private ones it does not. */
  private addPrivate(id: string, text: string, to: Recipient): void {
    const { link, nameOf, wallClock } = this.options;
    const name = nameOf(link.conference.endpointId);
    this.add({ id, own: true, name, privateWith: to.name, text, at: wallClock() });
  }

  private onError({ id, condition, detail }: ChatError): void {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    const { entries, draft } = this.state.get();
    const gone = condition === "item-not-found" || condition === "recipient-unavailable";
    const left = gone && pending?.to !== undefined;
    this.change({
      entries: entries.filter((e) => e.id !== id),
      error: left && pending.to ? texts.recipientLeft(pending.to.name) : texts.notSent(detail),
      ...(pending !== undefined && draft === "" && { draft: pending.text }),
    });
  }

  /** The connection was lost for good: what the room never sent back goes back into the field. */
  private takeBack(): void {
    const lost = [...this.pending.values()].filter((p) => p.to === undefined).map((p) => p.text);
    this.pending.clear();
    if (lost.length === 0) return;
    const { draft } = this.state.get();
    const kept = [...lost, draft].filter((t) => t !== "").join("\n");
    this.change({ draft: kept.slice(0, MAX_MESSAGE), error: texts.notConnected });
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
