// The media sessions of one stay in a room: with the bridge, and directly with the other person while
// there are exactly two.

import type { Blockage } from "./blockage";
import type { BridgeChannel, EndpointMessage, ReceiverConstraints } from "./bridge-channel";
import { BridgeSession } from "./bridge-session";
import type { Clock, Timer } from "./clock";
import { codecOrder } from "./codec-choice";
import type { MeetingConfig } from "./config";
import { Emitter } from "./emitter";
import type { ProtocolError } from "./errors";
import { randomHex, resourceOf } from "./ids";
import { type Jingle, parseJingle, writeJingle } from "./jingle";
import { NS } from "./ns";
import type { LocalTracks, RemoteTrack } from "./peer-media";
import { PeerSession } from "./peer-session";
import type { Room } from "./room";
import { bridgeIceServers, errorReply } from "./services";
import type { XmppStream } from "./stream";
import { child, el, type XmlElement } from "./xml";

export type MediaState = "none" | "connecting" | "connected" | "interrupted";

export interface SessionsEvents {
  tracks: undefined;
  media: MediaState;
  peer: boolean;
  speaker: { readonly endpoint: string; readonly previous: readonly string[]; readonly silence: boolean };
  forwarded: readonly string[];
  connectivity: { readonly endpoint: string; readonly active: boolean };
  endpointMessage: EndpointMessage;
  endpointStats: EndpointMessage;
  /** Pictures that moved steadily stand still: the network may have changed. */
  still: undefined;
  /** The bridge session ended and no new offer can be expected. */
  broken: ProtocolError;
}

export interface SessionsOptions {
  readonly stream: XmppStream;
  readonly clock: Clock;
  readonly config: MeetingConfig;
  readonly room: Room;
  readonly endpointId: string;
  readonly newPeerConnection: (iceServers: readonly RTCIceServer[]) => RTCPeerConnection;
  readonly iceServers: () => readonly RTCIceServer[];
  /** What this browser can decode, and so negotiate; lower case. */
  readonly codecs: readonly string[];
}

const NO_TRACKS: LocalTracks = { audio: null, video: null, desktop: null };
/** What is wanted on a spare session. */
const NOTHING: ReceiverConstraints = {
  lastN: 0,
  onStageSources: [],
  selectedSources: [],
  defaultConstraints: { maxHeight: 0 },
  constraints: {},
};
/** How often a session beside another one is looked at, and after how long it is taken as it is; milliseconds. */
const MOVE_LOOK = 50;
const MOVE_PATIENCE = 4_000;

export class Sessions extends Emitter<SessionsEvents> {
  bridge: BridgeSession | undefined;
  peer: PeerSession | undefined;
  media: MediaState = "none";

  private readonly options: SessionsOptions;
  /** A session with another bridge that will take the place of `bridge`. */
  private next: BridgeSession | undefined;
  /** One whose place was taken, until the focus ends it: who is not moved yet is reached by it. */
  private former: BridgeSession | undefined;
  private moveTimer: Timer | undefined;
  /** What each session's bridge said last of the meeting, to be told when the session is taken. */
  private readonly told = new WeakMap<BridgeSession, Map<string, () => void>>();
  private tracks: LocalTracks = NO_TRACKS;
  private constraints: ReceiverConstraints | undefined;
  private peerTimer: Timer | undefined;
  private hadOthers = false;
  private readonly worked = new WeakSet<PeerSession>();
  private readonly peersFailed = new Set<string>();
  private closed = false;
  private online = true;

  constructor(options: SessionsOptions) {
    super();
    this.options = options;
  }

  get usesPeer(): boolean {
    return this.peer?.connected ?? false;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.options.clock.clearTimeout(this.peerTimer);
    this.peer?.end({ condition: "success", text: "leaving" });
    this.bridge?.hangUp();
    this.closeOthers();
    this.peer = undefined;
    this.bridge = undefined;
    this.setMedia("none");
    this.emit("tracks", undefined);
  }

  /** Whether the server can be reached; what needs it waits until it can. */
  setOnline(online: boolean): void {
    if (this.online === online || this.closed) return;
    this.online = online;
    for (const bridge of this.bridges()) bridge.setOnline(online);
    this.onRoster();
  }

  /** Why media does not connect; undefined if none is expected. */
  async blockage(): Promise<Blockage | undefined> {
    return this.usesPeer ? undefined : this.bridge?.media.blockage();
  }

  /** The network is another one: paths along which nothing comes any more are replaced now. */
  checkPaths(): void {
    for (const session of [...this.bridges(), this.peer]) session?.checkPath();
  }

  remoteTracks(): RemoteTrack[] {
    if (this.peer?.connected) return this.peer.remoteTracks();
    return this.bridge?.remoteTracks() ?? [];
  }

  // --- Jingle -------------------------------------------------------------------------------

  /** Takes an IQ with a `jingle` payload and returns the reply to it. */
  handleIq(iq: XmlElement): XmlElement | undefined {
    const element = child(iq, "jingle", NS.jingle);
    if (element === undefined) return undefined;
    const from = iq.attrs["from"] ?? "";
    const jingle = parseJingle(element);
    const fromFocus = from === this.options.room.focusOccupant;
    if (!fromFocus && resourceOf(from) === "focus") {
      // Nobody but the focus we know may pose as one.
      queueMicrotask(() => this.refuse(from, jingle, "security-error"));
      return result(iq);
    }
    if (jingle.action === "session-initiate") {
      queueMicrotask(() => (fromFocus ? this.startBridge(jingle) : this.onPeerOffer(from, jingle)));
      return result(iq);
    }
    const known = fromFocus
      ? this.bridges().some((bridge) => bridge.sid === jingle.sid)
      : this.peer?.sid === jingle.sid && resourceOf(from) === this.peer?.peerId;
    if (!known) return errorReply(iq, "cancel", "item-not-found", el("unknown-session", NS.jingleErrors));
    queueMicrotask(() => this.dispatch(fromFocus, jingle));
    return result(iq);
  }

  private dispatch(fromFocus: boolean, jingle: Jingle): void {
    if (jingle.action === "session-terminate") {
      if (fromFocus) this.endBridge(jingle.sid);
      else if (this.peer !== undefined) this.onPeerOver(this.peer);
    } else if (fromFocus) {
      const bridge = this.bridges().find((b) => b.sid === jingle.sid);
      if (jingle.go === true && bridge?.spare) this.fill(bridge);
      bridge?.handle(jingle);
    } else {
      this.peer?.handle(jingle);
    }
  }

  private refuse(to: string, jingle: Jingle, condition: string): void {
    const reason = el("reason", NS.jingle, {}, el(condition, NS.jingle));
    const payload = writeJingle({ action: "session-terminate", sid: jingle.sid, initiator: to }, reason);
    void this.options.stream.iq("set", to, payload).catch(() => undefined);
  }

  // --- bridge -------------------------------------------------------------------------------

  /** All sessions with bridges: there are several only during a move. */
  private bridges(): BridgeSession[] {
    return [this.bridge, this.next, this.former].filter((b) => b !== undefined);
  }

  private startBridge(offer: Jingle): void {
    if (this.closed) return;
    // A spare one may come while the other one is still being connected.
    const there = this.bridge?.connected === true || offer.spare === true;
    const beside = there && offer.beside !== undefined && offer.beside === this.bridge?.sid;
    if (beside) this.closeNext();
    else this.closeOthers();
    if (!beside) this.bridge?.close();
    const { config, room, clock, stream, endpointId } = this.options;
    const pc = this.options.newPeerConnection(bridgeIceServers(this.options.iceServers(), config.useTurnUdp));
    const bridge = new BridgeSession(offer, {
      stream,
      clock,
      pc,
      endpointId,
      focusOccupant: room.focusOccupant ?? `${room.jid}/focus`,
      lastN: config.lastN,
      preferSctp: config.preferSctp,
      ignoreDomain: config.ignoreBridgeDomain,
      serverHost: new URL(config.webSocketUrl).host,
      layers: config.simulcast ? 3 : 1,
      codecs: this.codecs(),
      iceRestart: config.iceRestart,
      tracks: this.tracks,
      openWebSocket: (url) => new WebSocket(url),
    });
    if (beside) this.next = bridge;
    else this.bridge = bridge;
    this.watchBridge(bridge);
    if (!beside) this.setMedia(this.usesPeer ? this.media : "connecting");
    bridge.spare = beside && offer.spare === true;
    if (this.usesPeer || bridge.spare) void bridge.media.setSending(false);
    void bridge.start(offer);
  }

  private watchBridge(bridge: BridgeSession): void {
    const shown = (run: () => void) => (): void => {
      if (bridge === this.bridge) run();
    };
    bridge.on(
      "tracks",
      shown(() => this.emit("tracks", undefined)),
    );
    bridge.on("channel", (channel) => this.watchChannel(bridge, channel));
    bridge.on("connected", () => {
      if (bridge === this.next && !bridge.spare) this.beginMove(bridge);
      else if (bridge === this.bridge && !this.usesPeer) this.setMedia("connected");
    });
    bridge.on(
      "interrupted",
      shown(() => !this.usesPeer && this.setMedia("interrupted")),
    );
    bridge.on(
      "still",
      shown(() => this.emit("still", undefined)),
    );
    bridge.on("failed", (error) => this.onBridgeFailed(bridge, error));
  }

  // --- moves to another bridge --------------------------------------------------------------

  /** A spare session carries media from now on. */
  private fill(bridge: BridgeSession): void {
    bridge.fill();
    if (!this.usesPeer) void bridge.media.setSending(true);
    if (this.constraints !== undefined) bridge.channel?.setReceiverConstraints(this.constraints);
    if (bridge === this.next && bridge.connected) this.beginMove(bridge);
  }

  private beginMove(next: BridgeSession): void {
    this.watchMove(next, this.options.clock.now() + MOVE_PATIENCE);
  }

  /** Takes the next session when everything comes on it, and at the latest in time. */
  private watchMove(next: BridgeSession, deadline: number): void {
    if (next !== this.next || this.closed) return;
    const { clock } = this.options;
    clock.clearTimeout(this.moveTimer);
    const ready = this.usesPeer || this.bridge === undefined || next.hasAllOf(this.bridge);
    if (!ready && clock.now() < deadline) {
      this.moveTimer = clock.setTimeout(() => this.watchMove(next, deadline), MOVE_LOOK);
      return;
    }
    const former = this.bridge;
    this.takeNext();
    this.former = former;
    // Nothing of it is shown any more.
    if (this.constraints !== undefined)
      former?.channel?.setReceiverConstraints({ ...this.constraints, lastN: 0 });
    next.tellMoved();
  }

  private takeNext(): void {
    const { next } = this;
    if (next === undefined) return;
    this.options.clock.clearTimeout(this.moveTimer);
    this.former?.close();
    this.former = undefined;
    this.bridge = next;
    this.next = undefined;
    if (next.spare) this.fill(next);
    if (!this.usesPeer) this.setMedia(this.bridgeMedia());
    for (const tell of this.told.get(next)?.values() ?? []) tell();
    this.emit("tracks", undefined);
  }

  private closeNext(): void {
    this.options.clock.clearTimeout(this.moveTimer);
    const { next } = this;
    this.next = undefined;
    next?.close();
  }

  private closeOthers(): void {
    this.closeNext();
    this.former?.close();
    this.former = undefined;
  }

  /** What everybody can decode comes first. */
  private codecs(): string[] {
    const { config, room } = this.options;
    return codecOrder(config.codecs, [
      this.options.codecs,
      ...[...room.occupants.values()].map((o) => o.codecs),
    ]);
  }

  /** To be called when somebody came, left, or says something else about what can be decoded. */
  onCodecs(): void {
    for (const bridge of this.bridges()) bridge.setCodecs(this.codecs());
  }

  private endBridge(sid: string): void {
    if (this.next?.sid === sid) this.closeNext();
    if (this.former?.sid === sid) {
      this.former.close();
      this.former = undefined;
    }
    const { bridge } = this;
    if (bridge?.sid !== sid) return;
    if (this.next !== undefined) {
      // The focus does not wait any longer.
      this.takeNext();
      bridge.close();
      return;
    }
    bridge.close();
    this.bridge = undefined;
    if (!this.usesPeer) this.setMedia("none");
    this.emit("tracks", undefined);
  }

  private onBridgeFailed(bridge: BridgeSession, error: ProtocolError): void {
    if (this.closed) return;
    if (bridge === this.next) this.closeNext();
    if (bridge === this.former) this.former = undefined;
    if (bridge !== this.bridge) return;
    if (this.next !== undefined && !this.next.spare) {
      this.takeNext();
      return;
    }
    // Nobody else is on the bridge of a spare one as long as ours works for them.
    this.closeNext();
    this.bridge = undefined;
    if (!this.usesPeer) this.setMedia("interrupted");
    this.emit("tracks", undefined);
    // With a condition, the focus refused to give us another session.
    if (error.condition !== "") this.emit("broken", error);
  }

  private watchChannel(bridge: BridgeSession, channel: BridgeChannel): void {
    this.announceVideoTypes(channel);
    if (bridge.spare) channel.setReceiverConstraints(NOTHING);
    else if (this.constraints !== undefined) channel.setReceiverConstraints(this.constraints);
    const told = new Map<string, () => void>();
    this.told.set(bridge, told);
    // Only one session is shown; what the bridge of another one says of the meeting is kept for when that is.
    const state = (key: string, tell: () => void): void => {
      told.set(key, tell);
      if (bridge === this.bridge) tell();
    };
    channel.on("dominantSpeaker", (speaker) => state("speaker", () => this.emit("speaker", speaker)));
    channel.on("forwardedSources", (sources) => state("forwarded", () => this.emit("forwarded", sources)));
    channel.on("connectivity", (status) =>
      state(`connectivity ${status.endpoint}`, () => this.emit("connectivity", status)),
    );
    // Somebody else may be served by either bridge.
    channel.on("endpointMessage", (message) => this.emit("endpointMessage", message));
    channel.on("endpointStats", (message) => this.emit("endpointStats", message));
  }

  private announceVideoTypes(channel: BridgeChannel): void {
    const id = this.options.endpointId;
    channel.setVideoType(`${id}-v0`, this.tracks.video === null ? "none" : "camera");
    if (this.tracks.desktop !== null || this.sharedBefore) {
      channel.setVideoType(`${id}-v1`, this.tracks.desktop === null ? "none" : "desktop");
    }
  }

  private sharedBefore = false;

  /** Replaces what we send. Resolves when a shared screen has been announced. */
  async setTracks(tracks: LocalTracks): Promise<void> {
    this.tracks = tracks;
    for (const { channel } of this.bridges()) if (channel !== undefined) this.announceVideoTypes(channel);
    if (tracks.desktop !== null) this.sharedBefore = true;
    await Promise.all([...this.bridges(), this.peer].map((session) => session?.setTracks(tracks)));
  }

  setReceiverConstraints(constraints: ReceiverConstraints): void {
    this.constraints = constraints;
    for (const bridge of [this.bridge, this.next]) {
      if (bridge?.spare !== true) bridge?.channel?.setReceiverConstraints(constraints);
    }
    this.wantFromPeer();
  }

  private wantFromPeer(): void {
    if (this.peer === undefined || !this.peer.connected) return;
    const name = `${this.peer.peerId}-v0`;
    const height =
      this.constraints?.constraints[name]?.maxHeight ?? this.constraints?.defaultConstraints.maxHeight;
    this.peer.wantHeight(name, height === undefined || height <= 0 ? 180 : height);
  }

  private bridgeMedia(): MediaState {
    if (this.bridge === undefined) return "none";
    if (this.bridge.interrupted) return "interrupted";
    return this.bridge.connected ? "connected" : "connecting";
  }

  private setMedia(state: MediaState): void {
    if (this.media === state) return;
    this.media = state;
    this.emit("media", state);
  }

  // --- peer to peer -------------------------------------------------------------------------

  /** To be called when the people in the room have changed. */
  onRoster(): void {
    const { room, clock, config, endpointId } = this.options;
    const others = [...room.occupants.values()];
    this.onCodecs();
    for (const bridge of this.bridges()) {
      for (const { source } of bridge.remoteTracks()) {
        if (!room.occupants.has(source.owner)) bridge.media.disown(source.owner);
      }
    }
    const [other] = others;
    if (others.length > 1) this.hadOthers = true;
    if (!this.online) {
      clock.clearTimeout(this.peerTimer);
      this.peerTimer = undefined;
      return;
    }
    if (!config.p2pEnabled || others.length !== 1 || other === undefined || other.hidden) {
      clock.clearTimeout(this.peerTimer);
      this.peerTimer = undefined;
      this.endPeer({ condition: "success", text: "Turning off P2P session" });
      return;
    }
    if (this.peer !== undefined && this.peer.peerId !== other.id) this.endPeer(undefined);
    if (this.peer !== undefined || this.peerTimer !== undefined || this.peersFailed.has(other.id)) return;
    if (endpointId > other.id) return;
    const wait = this.hadOthers ? config.p2pDelay : 0;
    this.peerTimer = clock.setTimeout(() => {
      this.peerTimer = undefined;
      this.startPeer(other.id);
    }, wait);
  }

  private startPeer(peerId: string): void {
    if (this.closed || this.peer !== undefined || !this.options.room.occupants.has(peerId)) return;
    const session = this.makePeer(peerId, this.options.room.ownJid, randomHex(12));
    void session.initiate();
  }

  private onPeerOffer(from: string, jingle: Jingle): void {
    const { room, config } = this.options;
    const peerId = resourceOf(from);
    const allowed = config.p2pEnabled && room.occupants.size === 1 && room.occupants.has(peerId);
    if (!allowed || this.closed) {
      this.refuse(from, jingle, "decline");
      return;
    }
    this.endPeer(undefined);
    const session = this.makePeer(peerId, from, jingle.sid);
    void session.accept(jingle);
  }

  private makePeer(peerId: string, initiator: string, sid: string): PeerSession {
    const { stream, clock, config, room, endpointId } = this.options;
    const fromServer = this.options.iceServers();
    const pc = this.options.newPeerConnection(fromServer.length > 0 ? fromServer : config.p2pStunServers);
    const session = new PeerSession({
      stream,
      clock,
      pc,
      endpointId,
      peer: room.occupantJid(peerId),
      peerId,
      initiator,
      sid,
      codecs: config.codecs,
      tracks: this.tracks,
    });
    this.peer = session;
    session.on("tracks", () => this.usesPeer && this.emit("tracks", undefined));
    session.on("connected", () => this.onPeerConnected(session));
    session.on("interrupted", () => {
      if (session === this.peer && session.connected) this.setMedia("interrupted");
    });
    session.on("still", () => this.emit("still", undefined));
    session.on("failed", () => this.onPeerOver(session));
    return session;
  }

  /** A session broke or the other person ended it. What once worked may work again a little later. */
  private onPeerOver(session: PeerSession): void {
    if (this.worked.has(session)) this.hadOthers = true;
    else this.peersFailed.add(session.peerId);
    if (session !== this.peer) return;
    this.endPeer(undefined);
    this.onRoster();
  }

  private onPeerConnected(session: PeerSession): void {
    if (session !== this.peer) return;
    this.setMedia("connected");
    if (this.worked.has(session)) return;
    this.worked.add(session);
    for (const bridge of this.bridges()) void bridge.media.setSending(false);
    this.wantFromPeer();
    this.emit("peer", true);
    this.emit("tracks", undefined);
  }

  private endPeer(reason: { condition: string; text: string } | undefined): void {
    const session = this.peer;
    if (session === undefined) return;
    const wasUsed = this.worked.has(session);
    this.peer = undefined;
    session.end(reason);
    if (!wasUsed) return;
    for (const bridge of this.bridges()) if (!bridge.spare) void bridge.media.setSending(true);
    this.setMedia(this.bridgeMedia());
    this.emit("peer", false);
    this.emit("tracks", undefined);
  }
}

function result(iq: XmlElement): XmlElement {
  return el("iq", NS.client, { type: "result", to: iq.attrs["from"], id: iq.attrs["id"] });
}
