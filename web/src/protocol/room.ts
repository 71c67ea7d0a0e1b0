// The multi-user chat room of a meeting (XEP-0045) as Jitsi uses it: who is there, what they say, and our
// own presence.

import type { Clock, Timer } from "./clock";
import { Emitter } from "./emitter";
import { ProtocolError, stanzaError } from "./errors";
import { bareJid, randomHex, resourceOf } from "./ids";
import { NS } from "./ns";
import type { XmppStream } from "./stream";
import { child, children, childText, el, text, type XmlElement } from "./xml";

export interface SourceState {
  readonly muted: boolean;
  /** `camera`, `desktop` or `none`; audio sources have `camera` too, meaninglessly. */
  readonly videoType: string;
}

export interface Occupant {
  /** Endpoint id: the nickname in the room. */
  readonly id: string;
  readonly realJid: string;
  readonly moderator: boolean;
  readonly name: string;
  readonly sources: ReadonlyMap<string, SourceState>;
  /** Milliseconds since the epoch, or 0. */
  readonly raisedHand: number;
  readonly codecs: readonly string[];
  /** A recorder or transcriber that should not be shown. */
  readonly hidden: boolean;
}

export interface ChatMessage {
  readonly id: string;
  readonly from: string;
  readonly text: string;
  readonly isPrivate: boolean;
  /** Milliseconds since the epoch, for messages from before we came. */
  readonly sentAt: number | undefined;
}

/** A message of ours that was refused. */
export interface ChatError {
  /** Id of the message. */
  readonly id: string;
  /** The stanza error condition. */
  readonly condition: string;
  /** The server's own words, if it gave any. */
  readonly detail: string;
}

/** What holds for the room, as the room itself says. */
export interface RoomConfig {
  /** Milliseconds since the epoch, or 0 if the room does not say. */
  readonly createdAt: number;
  readonly locked: boolean;
  /** Address of the waiting room while newcomers have to knock, else undefined. */
  readonly lobby: string | undefined;
}

export interface RoomEvents {
  joined: undefined;
  joinFailed: ProtocolError;
  occupantJoined: Occupant;
  occupantChanged: Occupant;
  occupantLeft: { readonly occupant: Occupant; readonly kicked: boolean };
  /** Our own role or the like has changed. */
  selfChanged: undefined;
  message: ChatMessage;
  chatError: ChatError;
  subject: string;
  /** We were removed: kicked by somebody, or the meeting was ended. */
  removed: { readonly kind: "kicked" | "ended" | "left"; readonly by: string; readonly reason: string };
  focusJoined: undefined;
  focusLeft: undefined;
  noBridge: boolean;
  /** What holds for the room was read: after joining and whenever it has changed. */
  config: RoomConfig;
  json: { readonly from: string; readonly value: Readonly<Record<string, unknown>> };
}

/** What we tell about ourselves. */
export interface OwnPresence {
  readonly name: string;
  readonly sources: Readonly<Record<string, { muted: boolean; videoType?: string }>>;
  readonly raisedHand: number;
  readonly codecs: readonly string[];
  readonly capsVersion: string;
  readonly statsId: string;
  readonly region: string | undefined;
}

export interface RoomOptions {
  readonly stream: XmppStream;
  readonly clock: Clock;
  readonly roomJid: string;
  readonly endpointId: string;
  readonly hiddenDomain: string | undefined;
}

const LEAVE_TIMEOUT = 2_000;

export class Room extends Emitter<RoomEvents> {
  readonly jid: string;
  readonly occupants = new Map<string, Occupant>();
  focusOccupant: string | undefined;
  focusJid: string | undefined;
  joined = false;
  moderator = false;
  locked = false;
  lobbyJid: string | undefined;

  private readonly options: RoomOptions;
  private own: OwnPresence;
  private sentOnce = "";
  private flushQueued = false;
  private leaving: (() => void) | undefined;
  private asked = false;

  constructor(options: RoomOptions, own: OwnPresence) {
    super();
    this.options = options;
    this.jid = options.roomJid;
    this.own = own;
  }

  get ownJid(): string {
    return `${this.jid}/${this.options.endpointId}`;
  }

  occupantJid(id: string): string {
    return `${this.jid}/${id}`;
  }

  // --- own presence -------------------------------------------------------------------------

  join(password: string | undefined): void {
    const muc = el("x", NS.muc, {}, password !== undefined && el("password", NS.muc, {}, password));
    const rest = this.presenceChildren();
    this.sentOnce = JSON.stringify(rest);
    this.asked = true;
    this.options.stream.send(el("presence", NS.client, { to: this.ownJid }, muc, rest));
  }

  /** Changes what we tell; sent at once if we are in the room, and only if it differs. */
  update(change: Partial<OwnPresence>): void {
    this.own = { ...this.own, ...change };
    if (!this.joined || this.flushQueued) return;
    this.flushQueued = true;
    // Several changes made together become one presence.
    queueMicrotask(() => {
      this.flushQueued = false;
      this.flush();
    });
  }

  private flush(): void {
    if (!this.joined) return;
    const rest = this.presenceChildren();
    const now = JSON.stringify(rest);
    if (now === this.sentOnce) return;
    this.sentOnce = now;
    this.options.stream.send(el("presence", NS.client, { to: this.ownJid }, rest));
  }

  private presenceChildren(): XmlElement[] {
    const { own } = this;
    const list = [
      el("stats-id", NS.client, {}, own.statsId),
      el("c", NS.caps, { hash: "sha-1", node: CAPS_NODE, ver: own.capsVersion }),
      el("SourceInfo", NS.client, {}, JSON.stringify(own.sources)),
      el("jitsi_participant_codecList", NS.client, {}, own.codecs.join(",")),
    ];
    if (own.region !== undefined) list.push(el("jitsi_participant_region", NS.client, {}, own.region));
    if (own.raisedHand > 0)
      list.push(el("jitsi_participant_raisedHand", NS.client, {}, String(own.raisedHand)));
    if (own.name !== "") list.push(el("nick", NS.nick, {}, own.name));
    return list;
  }

  /** Leaves and waits a moment for the room to confirm. */
  leave(): Promise<void> {
    // A join without an answer may have arrived all the same.
    if (this.asked)
      this.options.stream.send(el("presence", NS.client, { to: this.ownJid, type: "unavailable" }));
    this.asked = false;
    if (!this.joined) return Promise.resolve();
    return new Promise((resolve) => {
      const timer: Timer = this.options.clock.setTimeout(() => this.leaving?.(), LEAVE_TIMEOUT);
      this.leaving = () => {
        this.options.clock.clearTimeout(timer);
        this.leaving = undefined;
        this.joined = false;
        resolve();
      };
    });
  }

  // --- incoming -----------------------------------------------------------------------------

  /** Takes a stanza; returns false if it is not from this room. */
  handle(stanza: XmlElement): boolean {
    const from = stanza.attrs["from"] ?? "";
    if (bareJid(from) !== this.jid) return false;
    if (stanza.name === "presence") this.onPresence(stanza, from);
    else if (stanza.name === "message") this.onMessage(stanza, from);
    else return false;
    return true;
  }

  private onPresence(stanza: XmlElement, from: string): void {
    const type = stanza.attrs["type"];
    if (child(stanza, "ignore", "http://jitsi.org/jitmeet/") !== undefined) return;
    if (type === "error") {
      if (this.joined) return;
      this.asked = false;
      this.emit("joinFailed", joinError(stanza));
    } else if (type === "unavailable") {
      this.onUnavailable(stanza, from);
    } else if (type === undefined) {
      this.onAvailable(stanza, from);
    }
  }

  private onAvailable(stanza: XmlElement, from: string): void {
    const item = child(child(stanza, "x", NS.mucUser) ?? stanza, "item", NS.mucUser);
    if (item === undefined) return;
    const id = resourceOf(from);
    const realJid = item.attrs["jid"] ?? "";
    if (from === this.ownJid) {
      this.onOwn(item.attrs["role"] === "moderator");
      return;
    }
    if (id === "focus" || (this.focusJid !== undefined && bareJid(realJid) === this.focusJid)) {
      this.onFocus(stanza, from);
      return;
    }
    const occupant = this.readOccupant(stanza, id, realJid, item.attrs["role"] === "moderator");
    const known = this.occupants.has(id);
    this.occupants.set(id, occupant);
    this.emit(known ? "occupantChanged" : "occupantJoined", occupant);
  }

  private readOccupant(stanza: XmlElement, id: string, realJid: string, moderator: boolean): Occupant {
    const domain = bareJid(realJid).split("@")[1] ?? "";
    return {
      id,
      realJid,
      moderator,
      name: childText(stanza, "nick", NS.nick) ?? "",
      sources: readSourceInfo(stanza, id),
      raisedHand: Number(childText(stanza, "jitsi_participant_raisedHand") ?? 0) || 0,
      codecs: (childText(stanza, "jitsi_participant_codecList") ?? "").split(",").filter((c) => c !== ""),
      hidden: this.options.hiddenDomain !== undefined && domain === this.options.hiddenDomain,
    };
  }

  private onOwn(moderator: boolean): void {
    const changed = moderator !== this.moderator;
    this.moderator = moderator;
    if (!this.joined) {
      this.joined = true;
      this.emit("joined", undefined);
      this.flush();
      void this.refreshConfig();
    }
    if (changed) this.emit("selfChanged", undefined);
  }

  private onFocus(stanza: XmlElement, from: string): void {
    const isNew = this.focusOccupant !== from;
    this.focusOccupant = from;
    this.emit("noBridge", child(stanza, "bridgeNotAvailable", NS.focus) !== undefined);
    if (isNew) this.emit("focusJoined", undefined);
  }

  private onUnavailable(stanza: XmlElement, from: string): void {
    const user = child(stanza, "x", NS.mucUser);
    const codes = user === undefined ? [] : children(user, "status").map((s) => s.attrs["code"]);
    const item = user === undefined ? undefined : child(user, "item");
    const destroy = user === undefined ? undefined : child(user, "destroy");
    const kicked = codes.includes("307");
    if (from === this.ownJid || codes.includes("110")) {
      const by = item === undefined ? "" : (child(item, "actor")?.attrs["nick"] ?? "");
      const reason = childText(destroy ?? item ?? stanza, "reason") ?? "";
      this.onOwnLeave(destroy !== undefined ? "ended" : kicked ? "kicked" : "left", by, reason);
      return;
    }
    if (from === this.focusOccupant) {
      this.focusOccupant = undefined;
      this.emit("focusLeft", undefined);
      return;
    }
    const occupant = this.occupants.get(resourceOf(from));
    if (occupant === undefined) return;
    this.occupants.delete(occupant.id);
    this.emit("occupantLeft", { occupant, kicked });
  }

  private onOwnLeave(kind: "kicked" | "ended" | "left", by: string, reason: string): void {
    if (this.leaving !== undefined) {
      this.leaving();
      return;
    }
    if (!this.joined) return;
    this.joined = false;
    this.asked = false;
    this.emit("removed", { kind, by, reason });
  }

  // --- messages -----------------------------------------------------------------------------

  private onMessage(stanza: XmlElement, from: string): void {
    const type = stanza.attrs["type"] ?? "normal";
    if (type === "error") {
      const { condition, detail } = stanzaError(stanza);
      this.emit("chatError", { id: stanza.attrs["id"] ?? "", condition, detail });
      return;
    }
    const user = child(stanza, "x", NS.mucUser);
    if (user !== undefined && children(user, "status").some((s) => s.attrs["code"] === "104"))
      void this.refreshConfig();
    const subject = childText(stanza, "subject");
    if (subject !== undefined && child(stanza, "body") === undefined) this.emit("subject", subject);
    const stamp = child(stanza, "delay", NS.delay)?.attrs["stamp"];
    const json = childText(stanza, "json-message", NS.jitmeet);
    if (json !== undefined && stamp === undefined) this.onJson(from, json);
    const body = childText(stanza, "body");
    const id = resourceOf(from);
    if (body === undefined || body === "" || id === "") return;
    const sentAt = stamp === undefined ? Number.NaN : Date.parse(stamp);
    this.emit("message", {
      id: stanza.attrs["id"] ?? randomHex(16),
      from: id,
      text: body,
      isPrivate: type === "chat",
      sentAt: Number.isNaN(sentAt) ? undefined : sentAt,
    });
  }

  private onJson(from: string, json: string): void {
    try {
      const value: unknown = JSON.parse(json);
      if (typeof value === "object" && value !== null && "type" in value) {
        this.emit("json", { from: resourceOf(from), value: value as Record<string, unknown> });
      }
    } catch {
      // Not for us.
    }
  }

  /** Sends to everybody, or to one endpoint. Returns the message id. */
  sendMessage(body: string, to?: string): string {
    const id = randomHex(16);
    const attrs =
      to === undefined
        ? { to: this.jid, type: "groupchat", id }
        : { to: this.occupantJid(to), type: "chat", id };
    this.options.stream.send(el("message", NS.client, attrs, el("body", NS.client, {}, body)));
    return id;
  }

  // --- moderation ---------------------------------------------------------------------------

  async kick(id: string, reason: string): Promise<void> {
    const item = el("item", NS.mucAdmin, { nick: id, role: "none" }, el("reason", NS.mucAdmin, {}, reason));
    await this.options.stream.iq("set", this.jid, el("query", NS.mucAdmin, {}, item));
  }

  async grantModerator(id: string): Promise<void> {
    const occupant = this.occupants.get(id);
    if (occupant === undefined) return;
    const item = el("item", NS.mucAdmin, { affiliation: "owner", jid: bareJid(occupant.realJid) });
    await this.options.stream.iq("set", this.jid, el("query", NS.mucAdmin, {}, item));
  }

  /** Asks the focus to mute somebody's microphone, camera or shared screen, or to let us unmute. */
  async mute(id: string, media: "audio" | "video" | "desktop", muted: boolean): Promise<void> {
    if (this.focusOccupant === undefined) return;
    const ns = { audio: NS.muteAudio, video: NS.muteVideo, desktop: NS.muteDesktop }[media];
    const payload = el("mute", ns, { jid: this.occupantJid(id) }, String(muted));
    await this.options.stream.iq("set", this.focusOccupant, payload);
  }

  /** Sets the password of the room; an empty one unlocks it. */
  async setPassword(password: string): Promise<void> {
    await this.configure([
      ["muc#roomconfig_roomsecret", password],
      ["muc#roomconfig_passwordprotectedroom", password === "" ? "0" : "1"],
      ["muc#roomconfig_whois", "anyone"],
      ...(this.lobbyJid === undefined ? [] : ([["muc#roomconfig_membersonly", "true"]] as const)),
    ]);
    await this.refreshConfig();
  }

  /** Makes newcomers knock, or lets them in freely again. Who is here already stays. */
  async setLobbyEnabled(enabled: boolean): Promise<void> {
    if (enabled && this.occupants.size > 0) {
      const items = [...this.occupants.values()].map((o) =>
        el("item", NS.mucAdmin, { affiliation: o.moderator ? "owner" : "member", jid: bareJid(o.realJid) }),
      );
      await this.options.stream.iq("set", this.jid, el("query", NS.mucAdmin, {}, items));
    }
    await this.configure([
      ["muc#roomconfig_membersonly", String(enabled)],
      ...(this.locked ? ([["muc#roomconfig_passwordprotectedroom", "1"]] as const) : []),
    ]);
    await this.refreshConfig();
  }

  private async configure(fields: readonly (readonly [string, string])[]): Promise<void> {
    const all = [["FORM_TYPE", NS.roomConfig] as const, ...fields];
    const form = el(
      "x",
      NS.dataForm,
      { type: "submit" },
      all.map(([name, value]) =>
        el("field", NS.dataForm, { var: name }, el("value", NS.dataForm, {}, value)),
      ),
    );
    await this.options.stream.iq("set", this.jid, el("query", NS.mucOwner, {}, form));
  }

  private async refreshConfig(): Promise<void> {
    try {
      this.readConfig(await this.options.stream.iq("get", this.jid, el("query", NS.discoInfo)));
    } catch {
      // The room tells when it changes; until then what was read last stands.
    }
  }

  private readConfig(result: XmlElement): void {
    const query = child(result, "query", NS.discoInfo);
    if (query === undefined || !this.joined) return;
    const has = (name: string): boolean => children(query, "feature").some((f) => f.attrs["var"] === name);
    const form = child(query, "x", NS.dataForm);
    const field = (name: string): string => {
      const found = form && children(form, "field").find((f) => f.attrs["var"] === name);
      return text(found && child(found, "value"));
    };
    const createdAt = Math.max(0, Number(field("muc#roominfo_created_timestamp")) || 0);
    this.locked = has("muc_passwordprotected");
    this.lobbyJid = has("muc_membersonly") ? field("muc#roominfo_lobbyroom") || undefined : undefined;
    this.emit("config", {
      createdAt,
      locked: this.locked,
      lobby: this.lobbyJid,
    });
  }
}

export const CAPS_NODE = "https://jitsi.org/jitsi-meet";

function readSourceInfo(stanza: XmlElement, owner: string): Map<string, SourceState> {
  const sources = new Map<string, SourceState>();
  const json = childText(stanza, "SourceInfo");
  if (json === undefined) return legacySources(stanza, owner);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return sources;
  }
  if (typeof value !== "object" || value === null) return sources;
  for (const [name, state] of Object.entries(value)) {
    if (!name.startsWith(`${owner}-`) || typeof state !== "object" || state === null) continue;
    const { muted, videoType } = state as { muted?: unknown; videoType?: unknown };
    const type = typeof videoType === "string" && videoType.startsWith("desktop") ? "desktop" : videoType;
    sources.set(name, { muted: muted === true, videoType: typeof type === "string" ? type : "camera" });
  }
  return sources;
}

/** Old clients and gateways say `audiomuted` and `videomuted` instead. */
function legacySources(stanza: XmlElement, owner: string): Map<string, SourceState> {
  const sources = new Map<string, SourceState>();
  const audio = childText(stanza, "audiomuted");
  const video = childText(stanza, "videomuted");
  const videoType = childText(stanza, "videoType") === "desktop" ? "desktop" : "camera";
  if (audio !== undefined) sources.set(`${owner}-a0`, { muted: audio === "true", videoType: "camera" });
  if (video !== undefined) sources.set(`${owner}-v0`, { muted: video === "true", videoType });
  return sources;
}

/** What an error presence in reply to our join means. */
function joinError(stanza: XmlElement): ProtocolError {
  const { condition, detail, error } = stanzaError(stanza);
  const has = (name: string): boolean => error !== undefined && child(error, name) !== undefined;
  switch (condition) {
    case "not-authorized":
      return new ProtocolError("password-required", detail, condition);
    case "service-unavailable":
      return new ProtocolError("room-full", detail, condition);
    case "registration-required":
      return new ProtocolError(
        has("waiting-for-host") ? "waiting-for-host" : "members-only",
        detail,
        condition,
        text(error && child(error, "lobbyroom")),
      );
    default:
      if (has("displayname-required")) return new ProtocolError("name-required", detail, condition);
      if (has("authentication-required"))
        return new ProtocolError("authentication-required", detail, condition);
      if (condition === "not-allowed") {
        const missing = detail === "Room creation is restricted" || has("room-does-not-exist");
        return new ProtocolError("not-allowed", detail, missing ? "room-does-not-exist" : condition);
      }
      return new ProtocolError("join-failed", detail, condition);
  }
}
