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

export class Sessions extends Emitter<SessionsEvents> {
  bridge: BridgeSession | undefined;
  peer: PeerSession | undefined;
  media: MediaState = "none";

  private readonly options: SessionsOptions;
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
    this.peer = undefined;
    this.bridge = undefined;
    this.setMedia("none");
    this.emit("tracks", undefined);
  }

  /** Whether the server can be reached; what needs it waits until it can. */
  setOnline(online: boolean): void {
    if (this.online === online || this.closed) return;
    this.online = online;
    this.bridge?.setOnline(online);
    this.onRoster();
  }

  /** Why media does not connect; undefined if none is expected. */
  async blockage(): Promise<Blockage | undefined> {
    return this.usesPeer ? undefined : this.bridge?.media.blockage();
  }

  /** The network is another one: paths along which nothing comes any more are replaced now. */
  checkPaths(): void {
    this.bridge?.checkPath();
    this.peer?.checkPath();
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
    const session = fromFocus ? this.bridge : this.peer;
    const known = session?.sid === jingle.sid && (fromFocus || resourceOf(from) === this.peer?.peerId);
    if (!known) return errorReply(iq, "cancel", "item-not-found", el("unknown-session", NS.jingleErrors));
    queueMicrotask(() => this.dispatch(fromFocus, jingle));
    return result(iq);
  }

  private dispatch(fromFocus: boolean, jingle: Jingle): void {
    if (jingle.action === "session-terminate") {
      if (fromFocus) this.endBridge();
      else if (this.peer !== undefined) this.onPeerOver(this.peer);
    } else if (fromFocus) {
      this.bridge?.handle(jingle);
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

  private startBridge(offer: Jingle): void {
    if (this.closed) return;
    this.bridge?.close();
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
      layers: config.simulcast ? 3 : 1,
      codecs: this.codecs(),
      iceRestart: config.iceRestart,
      tracks: this.tracks,
      openWebSocket: (url) => new WebSocket(url),
    });
    this.bridge = bridge;
    this.setMedia(this.usesPeer ? this.media : "connecting");
    bridge.on("tracks", () => this.emit("tracks", undefined));
    bridge.on("channel", (channel) => this.watchChannel(channel));
    bridge.on("connected", () => !this.usesPeer && this.setMedia("connected"));
    bridge.on("interrupted", () => !this.usesPeer && this.setMedia("interrupted"));
    bridge.on("still", () => this.emit("still", undefined));
    bridge.on("failed", (error) => this.onBridgeFailed(bridge, error));
    if (this.usesPeer) void bridge.media.setSending(false);
    void bridge.start(offer);
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
    this.bridge?.setCodecs(this.codecs());
  }

  private endBridge(): void {
    this.bridge?.close();
    this.bridge = undefined;
    if (!this.usesPeer) this.setMedia("none");
    this.emit("tracks", undefined);
  }

  private onBridgeFailed(bridge: BridgeSession, error: ProtocolError): void {
    if (bridge !== this.bridge || this.closed) return;
    this.bridge = undefined;
    if (!this.usesPeer) this.setMedia("interrupted");
    this.emit("tracks", undefined);
    // With a condition, the focus refused to give us another session.
    if (error.condition !== "") this.emit("broken", error);
  }

  private watchChannel(channel: BridgeChannel): void {
    this.announceVideoTypes(channel);
    if (this.constraints !== undefined) channel.setReceiverConstraints(this.constraints);
    channel.on("dominantSpeaker", (speaker) => this.emit("speaker", speaker));
    channel.on("forwardedSources", (sources) => this.emit("forwarded", sources));
    channel.on("connectivity", (status) => this.emit("connectivity", status));
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
    if (this.bridge?.channel !== undefined) this.announceVideoTypes(this.bridge.channel);
    if (tracks.desktop !== null) this.sharedBefore = true;
    await Promise.all([this.bridge?.setTracks(tracks), this.peer?.setTracks(tracks)]);
  }

  setReceiverConstraints(constraints: ReceiverConstraints): void {
    this.constraints = constraints;
    this.bridge?.channel?.setReceiverConstraints(constraints);
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
    for (const track of this.bridge?.remoteTracks() ?? []) {
      if (!room.occupants.has(track.source.owner)) this.bridge?.media.disown(track.source.owner);
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
    void this.bridge?.media.setSending(false);
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
    void this.bridge?.media.setSending(true);
    this.setMedia(this.bridgeMedia());
    this.emit("peer", false);
    this.emit("tracks", undefined);
  }
}

function result(iq: XmlElement): XmlElement {
  return el("iq", NS.client, { type: "result", to: iq.attrs["from"], id: iq.attrs["id"] });
}
