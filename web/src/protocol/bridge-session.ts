// The media session with the bridge, negotiated with the focus: answer its offer, keep sources in step,
// restart ICE in place or ask for a new session when the path is lost.

import { BridgeChannel, type MappedSource } from "./bridge-channel";
import type { Clock, Timer } from "./clock";
import { Emitter } from "./emitter";
import { ProtocolError } from "./errors";
import {
  type Content,
  type Jingle,
  type MediaKind,
  preferCodecs,
  signalledSources,
  type Transport,
  writeContent,
  writeGroup,
  writeJingle,
  writeSourceContent,
  writeTransport,
} from "./jingle";
import { NS } from "./ns";
import { type LocalTracks, PeerMedia, type RemoteTrack } from "./peer-media";
import { Pulse } from "./pulse";
import { RemoteSections } from "./remote-sections";
import type { SdpSection } from "./sdp";
import { namesLayers } from "./services";
import type { XmppStream } from "./stream";
import { el, type XmlElement } from "./xml";

export interface BridgeSessionOptions {
  readonly stream: XmppStream;
  readonly clock: Clock;
  readonly pc: RTCPeerConnection;
  readonly endpointId: string;
  readonly focusOccupant: string;
  readonly lastN: number;
  readonly preferSctp: boolean;
  readonly ignoreDomain: string | undefined;
  /** Host and port of the server, to which there is a connection. */
  readonly serverHost: string;
  readonly layers: number;
  readonly codecs: readonly string[];
  readonly iceRestart: boolean;
  readonly tracks: LocalTracks;
  readonly openWebSocket: (url: string) => WebSocket;
}

export interface BridgeSessionEvents {
  tracks: undefined;
  /** Media can flow. */
  connected: undefined;
  /** Media is interrupted; the session tries to mend itself. */
  interrupted: undefined;
  /** Pictures that moved steadily stand still. */
  still: undefined;
  /** The focus took our answer. */
  accepted: undefined;
  channel: BridgeChannel;
  /** The session is over and cannot be mended; a new offer may follow. */
  failed: ProtocolError;
}

const ICE_RESTART_TIMEOUT = 15_000;
/**
 * How long new credentials are given to work although nothing comes: browsers learn of a new network up to two seconds late,
 * and then look for paths in it by themselves. Milliseconds.
 */
const RESTART_PATIENCE = 4_000;
const ACCEPT_TIMEOUT = 10_000;
const AUDIO_PATIENCE = 50;

export class BridgeSession extends Emitter<BridgeSessionEvents> {
  readonly sid: string;
  readonly media: PeerMedia;
  channel: BridgeChannel | undefined;
  connected = false;
  /** Whether it was connected and is not at present. */
  interrupted = false;
  readonly region: string;
  /** Nothing goes over it yet. */
  spare = false;

  private readonly options: BridgeSessionOptions;
  private codecs: readonly string[];
  private readonly bridgeSessionId: string | undefined;
  private accepted = false;
  private readonly afterAccept: (() => unknown)[] = [];
  private iceGeneration = 0;
  private readonly pulse: Pulse;
  private mendTimer: Timer | undefined;
  private mending = false;
  /** When new credentials were taken, as long as they have not worked. */
  private restartedAt: number | undefined;
  /** Whether the server can be reached, without which nothing is mended. */
  private online = true;
  private mendOnline = false;
  private closed = false;
  private desktopSignalled = false;
  private settle: () => void = () => undefined;
  /** Resolves when the focus took our answer, or never will. */
  private readonly settled = new Promise<void>((resolve) => {
    this.settle = resolve;
  });

  constructor(offer: Jingle, options: BridgeSessionOptions) {
    super();
    this.options = options;
    this.codecs = options.codecs;
    this.sid = offer.sid;
    this.bridgeSessionId = offer.bridgeSession?.id;
    this.region = offer.bridgeSession?.region ?? "";
    this.media = new PeerMedia(options.pc, {
      endpointId: options.endpointId,
      role: "answerer",
      layers: options.layers,
      layersByName: namesLayers(),
      codecs: options.codecs,
    });
    this.media.on("tracks", () => this.emit("tracks", undefined));
    this.media.on("iceState", (state) => this.onIceState(state));
    this.pulse = new Pulse({
      clock: options.clock,
      newestPicture: () => this.media.newestPicture(),
      bytes: () => this.media.receivedBytes(),
      onStill: () => {
        this.emit("still", undefined);
        this.checkPath();
      },
      onSilent: () => this.onSilent(),
    });
  }

  /** Answers the offer. */
  async start(offer: Jingle): Promise<void> {
    try {
      const ordered = preferCodecs(inMediaOrder(offer.contents), this.codecs);
      const remote = new RemoteSections(ordered, (s) => s.owner === "jvb" || s.owner === "");
      for (const content of ordered) this.mapSignalled(remote, content);
      this.openChannel(ordered);
      // A screen that is shared already is signalled once the focus took our answer.
      this.setTracks(this.options.tracks).catch((error) => console.warn("a source was refused", error));
      const sections = await this.media.answer(remote);
      if (this.closed) return;
      await this.sendAccept(sections);
    } catch (error) {
      if (this.closed) return;
      const detail = error instanceof Error ? error.message : String(error);
      console.error("the offer could not be answered", error);
      this.terminate("failed-application", detail, true);
    }
  }

  private async sendAccept(sections: readonly SdpSection[]): Promise<void> {
    const contents = this.media.localContents(sections, (s) =>
      s.media === "application" ? "data" : s.media,
    );
    const head = { ...this.head("session-accept"), responder: this.options.stream.jid };
    const bodies = contents.map((content) => this.acceptContent(content));
    const payload = writeJingle(head, writeGroup(contents.map((c) => c.name)), ...bodies);
    await this.iq(payload, ACCEPT_TIMEOUT);
    this.accepted = true;
    for (const task of this.afterAccept.splice(0)) task();
    this.settle();
    this.emit("accepted", undefined);
  }

  private acceptContent(content: Content): XmlElement {
    const element = writeContent(content, "responder");
    if (content.media !== "video" || this.options.lastN < 0) return element;
    const lastN = el("initial-last-n", NS.colibri2, { value: this.options.lastN });
    return { ...element, children: [lastN, ...element.children] };
  }

  /** Orders the video codecs anew, the one to send first. */
  setCodecs(codecs: readonly string[]): void {
    if (this.codecs[0] === codecs[0]) return;
    this.codecs = codecs;
    // The first answer is not disturbed; what it did not know comes after it.
    this.whenAccepted(() => this.media.setCodecs(this.codecs).catch((error) => this.onMediaError(error)));
  }

  /** Takes a later Jingle action of the focus. */
  handle(jingle: Jingle): void {
    switch (jingle.action) {
      case "source-add":
        this.whenAccepted(() => this.addSignalled(jingle.contents));
        break;
      case "source-remove":
        this.whenAccepted(() => {
          const ssrcs = jingle.contents.flatMap((c) => c.sources.map((s) => s.ssrc));
          void this.media.unmapSources(ssrcs);
        });
        break;
      case "transport-info":
        this.whenAccepted(() => this.onTransport(jingle));
        break;
    }
  }

  private whenAccepted(task: () => unknown): void {
    if (this.accepted) task();
    else this.afterAccept.push(task);
  }

  /** A spare session is one like others from now on. */
  fill(): void {
    this.spare = false;
    this.onIceState(this.media.pc.iceConnectionState);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.settle();
    this.options.clock.clearTimeout(this.mendTimer);
    this.pulse.stop();
    this.channel?.close();
    this.media.close();
  }

  /** Tells the focus that everything comes on this session, and the one beside it is not needed any more. */
  tellMoved(): void {
    this.iq(writeJingle(this.head("session-info"), el("move", NS.moves))).catch(() => undefined);
  }

  /**
   * Whether everything that is seen and heard on another session comes on this one too. Sound that nobody plays yet is not
   * counted by browsers: that it is announced must do.
   */
  hasAllOf(other: BridgeSession): boolean {
    if (!this.channel?.isOpen || this.media.outdated) return false;
    const here = new Map(this.remoteTracks().map((t) => [t.source.name, t]));
    return other.remoteTracks().every(({ source, receiver }) => {
      if (!isMoving(receiver)) return true;
      const same = here.get(source.name);
      return same !== undefined && (source.media === "audio" || isMoving(same.receiver));
    });
  }

  /** Leaves the session for good. */
  hangUp(): void {
    if (this.closed) return;
    void this.sendTerminate("success", "", false).catch(() => undefined);
    this.close();
  }

  remoteTracks(): RemoteTrack[] {
    return this.media.remoteTracks();
  }

  private head(action: string): { action: string; sid: string; initiator: string } {
    return { action, sid: this.sid, initiator: this.options.focusOccupant };
  }

  private iq(payload: XmlElement, timeout?: number): Promise<XmlElement> {
    return this.options.stream.iq("set", this.options.focusOccupant, payload, timeout);
  }

  // --- sources ------------------------------------------------------------------------------

  /** Sources signalled one by one, for servers that do not rewrite SSRCs. */
  private mapSignalled(remote: RemoteSections, content: Content): void {
    if (content.media === "application") return;
    for (const source of signalledSources(content)) remote.map({ ...source, media: content.media });
  }

  private addSignalled(contents: readonly Content[]): void {
    for (const content of contents) {
      if (content.media === "application") continue;
      void this.media.mapSources(content.media, signalledSources(content));
    }
  }

  private onMapped(media: MediaKind, mapped: readonly MappedSource[]): void {
    const sources = mapped
      .filter((m) => m.owner !== this.options.endpointId)
      .map((m) => ({ name: m.source, owner: m.owner, ssrc: m.ssrc, rtx: m.rtx, videoType: m.videoType }));
    if (!this.media.noteSources(media, sources)) return;
    // Sound can wait a moment for the pictures that usually follow: one negotiation instead of two.
    if (media === "video") this.renegotiate();
    else this.options.clock.setTimeout(() => this.media.outdated && this.renegotiate(), AUDIO_PATIENCE);
  }

  private renegotiate(): void {
    this.media.renegotiate().catch((error: unknown) => this.onMediaError(error));
  }

  private onMediaError(error: unknown): void {
    if (this.closed) return;
    console.error("renegotiation failed", error);
    const detail = error instanceof Error ? error.message : String(error);
    this.terminate("failed-application", detail, true);
  }

  async setTracks(tracks: LocalTracks): Promise<void> {
    if (this.closed) return;
    await this.media.setTracks(tracks);
    if (tracks.desktop === null || this.desktopSignalled) return;
    this.desktopSignalled = true;
    await this.settled;
    if (this.closed) return;
    await this.media.addDesktop();
    const content = this.media.desktopContent("video");
    if (content === undefined || this.closed) return;
    await this.iq(writeJingle(this.head("source-add"), writeSourceContent(content)));
  }

  // --- bridge channel -----------------------------------------------------------------------

  private openChannel(contents: readonly Content[]): void {
    const hasData = contents.some((c) => c.media === "application" && c.transport?.sctpPort !== undefined);
    const urls = contents.flatMap((c) => c.transport?.webSocketUrls ?? []);
    const allowed = urls.find((u) => parsed(u)?.hostname !== this.options.ignoreDomain) ?? urls[0];
    if (hasData && (this.options.preferSctp || allowed === undefined)) {
      const dataChannel = (): RTCDataChannel =>
        this.options.pc.createDataChannel("JVB data channel", {
          protocol: "http://jitsi.org/protocols/colibri",
        });
      // On the connection that is there a WebSocket is open long before the path of the media, and the data channel on that.
      const near = urls.find((u) => parsed(u)?.host === this.options.serverHost);
      const early = near === undefined ? undefined : () => this.options.openWebSocket(near);
      this.useChannel(new BridgeChannel(dataChannel, false, this.options.clock, early));
    } else if (allowed !== undefined) {
      this.useChannel(new BridgeChannel(() => this.options.openWebSocket(allowed), true, this.options.clock));
    }
  }

  private useChannel(channel: BridgeChannel): void {
    this.channel = channel;
    channel.on("audioSources", (sources) => this.whenAnswered(() => this.onMapped("audio", sources)));
    channel.on("videoSources", (sources) => this.whenAnswered(() => this.onMapped("video", sources)));
    channel.on("senderConstraints", ({ sourceName, maxHeight }) =>
      this.media.setMaxHeight(sourceName, maxHeight),
    );
    this.emit("channel", channel);
  }

  /** A WebSocket channel may speak before the offer is answered. */
  private whenAnswered(task: () => void): void {
    if (this.media.sections !== undefined) task();
    else this.whenAccepted(task);
  }

  // --- mending the path ---------------------------------------------------------------------

  private onIceState(state: RTCIceConnectionState): void {
    if (state === "connected" || state === "completed") {
      this.stopMending();
      this.mendOnline = false;
      if (this.connected) return;
      this.connected = true;
      this.interrupted = false;
      this.pulse.start();
      this.emit("connected", undefined);
    } else if (this.spare) {
      // A spare one is not mended: the focus makes another.
      if (state === "failed") this.terminate("connectivity-error", "ICE FAILED", true);
    } else if (state === "failed" || state === "disconnected") {
      // Browsers say so after seconds of silence; the path goes on being used if it is not dead after all.
      this.lost();
      this.mend();
    }
  }

  /** Something says that the path may be dead: listens, and mends it if nothing comes. */
  checkPath(): void {
    // On a spare one nothing comes in any case.
    if (this.connected && !this.spare) void this.pulse.listen();
  }

  private onSilent(): void {
    const at = this.restartedAt;
    if (at === undefined || this.options.clock.now() - at >= RESTART_PATIENCE) this.mend();
  }

  private lost(): void {
    if (!this.connected) return;
    this.connected = false;
    this.interrupted = true;
    this.emit("interrupted", undefined);
  }

  /** Whether the server can be reached. Mending that it cannot hear of waits until it can. */
  setOnline(online: boolean): void {
    this.online = online;
    if (online) this.channel?.renew();
    // What took the way to the server may have taken that to the bridge. If so, it is mended as soon as the server is there.
    else if (this.connected) void this.pulse.doubt();
    if (!online && this.mendTimer !== undefined) {
      this.stopMending();
      this.mendOnline = true;
    } else if (online && this.mendOnline) {
      this.mend();
    }
  }

  private stopMending(): void {
    this.options.clock.clearTimeout(this.mendTimer);
    this.mendTimer = undefined;
    this.mending = false;
  }

  /** Asks for new ICE credentials, and for a new session if that does not help. */
  mend(): void {
    if (this.mending || this.closed) return;
    this.mendOnline = !this.online;
    if (this.mendOnline) return;
    this.mending = true;
    const { clock } = this.options;
    clock.clearTimeout(this.mendTimer);
    if (!this.options.iceRestart || this.bridgeSessionId === undefined || !this.accepted) {
      this.terminate("connectivity-error", "ICE FAILED", true);
      return;
    }
    this.mendTimer = clock.setTimeout(() => this.onMendTimeout(), ICE_RESTART_TIMEOUT);
    const session = el("bridge-session", NS.focus, { id: this.bridgeSessionId, "ice-restart": "true" });
    this.iq(writeJingle(this.head("session-info"), session), ICE_RESTART_TIMEOUT).catch(() => {
      // Without the server, the question is asked again when it is back.
      if (!this.mending) return;
      clock.clearTimeout(this.mendTimer);
      this.terminate("connectivity-error", "ICE FAILED", true);
    });
  }

  private onMendTimeout(): void {
    this.stopMending();
    const { iceConnectionState } = this.media.pc;
    if (iceConnectionState === "connected" || iceConnectionState === "completed") return;
    this.terminate("connectivity-error", "ICE FAILED", true);
  }

  private onTransport(jingle: Jingle): void {
    const transport = jingle.contents.find((c) => c.transport !== undefined)?.transport;
    if (transport === undefined) return;
    const generation = transport.iceGeneration;
    if (generation === undefined) {
      void this.media.addCandidates("0", transport.candidates);
    } else if (generation > this.iceGeneration) {
      this.iceGeneration = generation;
      void this.restartIce(transport, generation).catch((error: unknown) => this.onMediaError(error));
    }
  }

  private async restartIce(transport: Transport, generation: number): Promise<void> {
    const sections = await this.media.restartIce(transport);
    const contents = this.media.localContents(sections, (s) => s.media);
    const bodies = contents.flatMap((c) =>
      c.transport === undefined
        ? []
        : el(
            "content",
            NS.jingle,
            { creator: "responder", name: c.name },
            writeTransport({ ...c.transport, candidates: [], iceGeneration: generation }),
          ),
    );
    // From here on, another loss is another one.
    this.mending = false;
    this.restartedAt = this.options.clock.now();
    await this.iq(writeJingle(this.head("transport-info"), ...bodies));
  }

  /** Ends the session at both ends and reports it; with `restart` the focus sends a new offer. */
  terminate(condition: string, detail: string, restart: boolean): void {
    if (this.closed) return;
    this.lost();
    this.close();
    this.sendTerminate(condition, detail, restart).then(
      () => this.emit("failed", new ProtocolError("media-failed", detail, "")),
      (error: unknown) => {
        const refused = error instanceof ProtocolError ? error.condition : "";
        this.emit("failed", new ProtocolError("media-failed", detail, refused || "unreachable"));
      },
    );
  }

  private sendTerminate(condition: string, detail: string, restart: boolean): Promise<XmlElement> {
    const reason = el(
      "reason",
      NS.jingle,
      {},
      el(condition, NS.jingle),
      detail !== "" && el("text", NS.jingle, {}, detail),
    );
    const session =
      this.bridgeSessionId === undefined
        ? undefined
        : el("bridge-session", NS.focus, { id: this.bridgeSessionId, restart: String(restart) });
    return this.iq(writeJingle(this.head("session-terminate"), reason, session));
  }
}

/** What came within this time still comes, milliseconds. */
const MOVING = 500;

function isMoving(receiver: RTCRtpReceiver): boolean {
  const now = performance.timeOrigin + performance.now();
  return receiver.getSynchronizationSources().some((s) => wallClock(s.timestamp) > now - MOVING);
}

/** Browsers count from the start of the page or from 1970. */
function wallClock(timestamp: number): number {
  return timestamp < performance.timeOrigin / 2 ? performance.timeOrigin + timestamp : timestamp;
}

const MEDIA_ORDER = ["audio", "video", "application"];

function inMediaOrder(contents: readonly Content[]): Content[] {
  return [...contents].sort((a, b) => MEDIA_ORDER.indexOf(a.media) - MEDIA_ORDER.indexOf(b.media));
}

function parsed(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}
