// The waiting room beside a meeting: knocking at it, and letting people in from the other side.

import { Emitter } from "./emitter";
import { bareJid, resourceOf } from "./ids";
import { NS } from "./ns";
import type { XmppStream } from "./stream";
import { child, children, childText, el, type XmlElement } from "./xml";

export interface Knocker {
  /** Nickname in the waiting room. */
  readonly id: string;
  readonly realJid: string;
  readonly name: string;
}

export interface LobbyEvents {
  knockers: undefined;
  /** We were turned away. */
  denied: undefined;
  /** The waiting room is gone; `open` if the meeting can be entered now. */
  closed: { readonly open: boolean };
}

export interface LobbyOptions {
  readonly stream: XmppStream;
  readonly jid: string;
  readonly mainRoom: string;
  readonly endpointId: string;
}

export class Lobby extends Emitter<LobbyEvents> {
  readonly knockers = new Map<string, Knocker>();
  private readonly options: LobbyOptions;
  private inside = false;

  constructor(options: LobbyOptions) {
    super();
    this.options = options;
  }

  get jid(): string {
    return this.options.jid;
  }

  private get ownJid(): string {
    return `${this.options.jid}/${this.options.endpointId}`;
  }

  /** Enters the waiting room, to knock or to watch who knocks. */
  enter(name: string): void {
    this.inside = true;
    const nick = name === "" ? undefined : el("nick", NS.nick, {}, name);
    this.options.stream.send(el("presence", NS.client, { to: this.ownJid }, el("x", NS.muc), nick));
  }

  leave(): void {
    if (!this.inside) return;
    this.inside = false;
    this.options.stream.send(el("presence", NS.client, { to: this.ownJid, type: "unavailable" }));
  }

  /** Lets somebody in. */
  admit(id: string): void {
    const knocker = this.knockers.get(id);
    if (knocker === undefined) return;
    const invite = el("x", NS.mucUser, {}, el("invite", NS.mucUser, { to: knocker.realJid }));
    this.options.stream.send(
      el("message", NS.client, { to: this.options.mainRoom, id: `admit-${id}` }, invite),
    );
  }

  /** Turns somebody away. */
  async reject(id: string): Promise<void> {
    const item = el("item", NS.mucAdmin, { nick: id, role: "none" });
    await this.options.stream.iq("set", this.options.jid, el("query", NS.mucAdmin, {}, item));
  }

  /** Takes a stanza; returns false if it is not from the waiting room. */
  handle(stanza: XmlElement): boolean {
    const from = stanza.attrs["from"] ?? "";
    if (bareJid(from) !== this.options.jid) return false;
    if (stanza.name !== "presence") return true;
    const user = child(stanza, "x", NS.mucUser);
    const item = user && child(user, "item");
    const id = resourceOf(from);
    if (stanza.attrs["type"] === "unavailable") this.onGone(id, from, user);
    else if (stanza.attrs["type"] === undefined && item !== undefined && from !== this.ownJid) {
      // Moderators watch here too; only those without rights are knocking.
      if (item.attrs["role"] === "moderator" || id === "focus") return true;
      const name = childText(stanza, "nick", NS.nick) ?? "";
      this.knockers.set(id, { id, realJid: item.attrs["jid"] ?? "", name });
      this.emit("knockers", undefined);
    }
    return true;
  }

  private onGone(id: string, from: string, user: XmlElement | undefined): void {
    const destroy = user && child(user, "destroy");
    const kicked = user !== undefined && children(user, "status").some((s) => s.attrs["code"] === "307");
    if (destroy !== undefined) {
      if (!this.inside) return;
      this.inside = false;
      this.emit("closed", { open: destroy.attrs["jid"] === this.options.mainRoom });
    } else if (from === this.ownJid) {
      const asked = !this.inside;
      this.inside = false;
      if (kicked && !asked) this.emit("denied", undefined);
    } else if (this.knockers.delete(id)) {
      this.emit("knockers", undefined);
    }
  }
}

/** An invitation of the room with the password that may come with it, or undefined if the message is none. */
export function invitation(message: XmlElement, room: string): { readonly password?: string } | undefined {
  const user = child(message, "x", NS.mucUser);
  if (message.attrs["from"] !== room || user === undefined || child(user, "invite") === undefined)
    return undefined;
  const password = childText(user, "password");
  return password === undefined ? {} : { password };
}
