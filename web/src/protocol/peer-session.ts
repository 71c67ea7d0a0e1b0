// A media session with the one other person of a meeting for two, without the bridge in between.

import type { Clock, Timer } from "./clock";
import { Emitter } from "./emitter";
import { ProtocolError } from "./errors";
import {
  type Candidate,
  type Content,
  emptyContent,
  type Jingle,
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
import type { XmppStream } from "./stream";
import { el, type XmlElement } from "./xml";

export interface PeerSessionOptions {
  readonly stream: XmppStream;
  readonly clock: Clock;
  readonly pc: RTCPeerConnection;
  readonly endpointId: string;
  /** Room address of the peer. */
  readonly peer: string;
  readonly peerId: string;
  /** Room address of whoever started the session. */
  readonly initiator: string;
  readonly sid: string;
  readonly codecs: readonly string[];
  readonly tracks: LocalTracks;
}

export interface PeerSessionEvents {
  tracks: undefined;
  connected: undefined;
  /** Nothing arrives at present; the session may come back by itself. */
  interrupted: undefined;
  /** Pictures that moved steadily stand still. */
  still: undefined;
  /** The session did not come up or broke; the meeting goes on over the bridge. */
  failed: ProtocolError;
}

const CANDIDATE_BATCH = 150;
const CONNECT_TIMEOUT = 15_000;
const BROKEN_GRACE = 4_000;

export class PeerSession extends Emitter<PeerSessionEvents> {
  readonly media: PeerMedia;
  /** Whether media flows here rather than over the bridge. */
  connected = false;
  interrupted = false;
  readonly sid: string;
  readonly peerId: string;

  private readonly options: PeerSessionOptions;
  private readonly initiated: boolean;
  private readonly pulse: Pulse;
  private batch: Candidate[] = [];
  private batchTimer: Timer | undefined;
  private connectTimer: Timer | undefined;
  private closed = false;
  private established = false;
  private mayTrickle = false;
  private tracks: LocalTracks;
  /** Heights wanted before the peer could be told. */
  private readonly wanted = new Map<string, number>();
  private desktopSignalled = false;
  private readonly early: Candidate[] = [];

  constructor(options: PeerSessionOptions) {
    super();
    this.options = options;
    this.tracks = options.tracks;
    this.sid = options.sid;
    this.peerId = options.peerId;
    this.initiated = options.initiator !== options.peer;
    this.media = new PeerMedia(options.pc, {
      endpointId: options.endpointId,
      role: this.initiated ? "offerer" : "answerer",
      layers: 1,
      codecs: options.codecs,
    });
    this.media.on("tracks", () => this.emit("tracks", undefined));
    this.media.on("iceState", (state) => this.onIceState(state));
    this.pulse = new Pulse({
      clock: options.clock,
      newestPicture: () => this.media.newestPicture(),
      bytes: () => this.media.receivedBytes(),
      onStill: () => this.emit("still", undefined),
      onSilent: () => this.fail("connectivity-error"),
    });
    this.media.on("candidate", ({ candidate }) => this.onCandidate(candidate));
    this.connectTimer = options.clock.setTimeout(() => this.fail("connectivity-error"), CONNECT_TIMEOUT);
  }

  /** Sends our offer. */
  async initiate(): Promise<void> {
    await this.guarded(async () => {
      await this.media.setTracks(this.tracks);
      const sections = await this.media.offer();
      await this.sendDescription("session-initiate", sections);
    });
  }

  /** Answers the peer's offer. */
  async accept(offer: Jingle): Promise<void> {
    await this.guarded(async () => {
      await this.media.setTracks(this.tracks);
      const sections = await this.media.answer(this.remoteFrom(offer.contents));
      await this.flushEarly();
      await this.sendDescription("session-accept", sections);
      await this.onEstablished();
    });
  }

  handle(jingle: Jingle): void {
    switch (jingle.action) {
      case "session-accept":
        void this.guarded(async () => {
          await this.media.acceptAnswer(this.remoteFrom(jingle.contents));
          await this.flushEarly();
          await this.onEstablished();
        });
        break;
      case "transport-info":
        void this.onCandidates(jingle.contents.flatMap((c) => c.transport?.candidates ?? []));
        break;
      case "source-add":
        for (const content of jingle.contents) {
          if (content.media !== "application")
            void this.media.mapSources(content.media, this.sourcesOf(content));
        }
        break;
      case "source-remove":
        void this.media.unmapSources(jingle.contents.flatMap((c) => c.sources.map((s) => s.ssrc)));
        break;
      case "content-modify":
        this.onModify(jingle.contents);
        break;
    }
  }

  async setTracks(tracks: LocalTracks): Promise<void> {
    if (this.closed) return;
    this.tracks = tracks;
    await this.media.setTracks(tracks);
    await this.signalDesktop();
  }

  /** Tells the peer how high a picture of it is shown here. */
  wantHeight(sourceName: string, maxHeight: number): void {
    if (this.closed) return;
    if (!this.established) {
      this.wanted.set(sourceName, maxHeight);
      return;
    }
    const height = el("source-frame-height", NS.sourceFrameHeight, { maxHeight, sourceName });
    const content = el("content", NS.jingle, { name: "video", senders: "both" }, height);
    void this.iq(writeJingle(this.head("content-modify"), content)).catch(() => undefined);
  }

  remoteTracks(): RemoteTrack[] {
    return this.media.remoteTracks();
  }

  /** Ends the session, telling the peer why unless it told us. */
  end(reason?: { condition: string; text: string }): void {
    if (this.closed) return;
    this.closed = true;
    this.connected = false;
    this.options.clock.clearTimeout(this.batchTimer);
    this.options.clock.clearTimeout(this.connectTimer);
    this.pulse.stop();
    this.media.close();
    if (reason === undefined) return;
    const element = el(
      "reason",
      NS.jingle,
      {},
      el(reason.condition, NS.jingle),
      el("text", NS.jingle, {}, reason.text),
    );
    void this.iq(writeJingle(this.head("session-terminate"), element)).catch(() => undefined);
  }

  private async guarded(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (this.closed) return;
      console.warn("the direct session failed", error);
      this.fail("general-error");
    }
  }

  private fail(condition: string): void {
    if (this.closed) return;
    this.end({ condition, text: "direct connection failed" });
    this.emit("failed", new ProtocolError("media-failed", "", condition));
  }

  private head(action: string): { action: string; sid: string; initiator: string } {
    return { action, sid: this.sid, initiator: this.options.initiator };
  }

  private iq(payload: XmlElement): Promise<XmlElement> {
    return this.options.stream.iq("set", this.options.peer, payload);
  }

  private async sendDescription(action: string, sections: readonly SdpSection[]): Promise<void> {
    const initiate = action === "session-initiate";
    const contents = this.media.localContents(sections, (s) => (initiate ? s.mid : s.media));
    const head = { ...this.head(action), ...(!initiate && { responder: this.options.stream.jid }) };
    const creator = initiate ? "initiator" : "responder";
    const group = writeGroup(contents.map((c) => c.name));
    const bodies = contents.map((c) => writeContent(withoutCandidates(c), creator));
    const sent = this.iq(writeJingle(head, group, ...bodies));
    this.mayTrickle = true;
    this.scheduleBatch();
    await sent;
  }

  private async onEstablished(): Promise<void> {
    this.established = true;
    for (const [sourceName, maxHeight] of this.wanted) this.wantHeight(sourceName, maxHeight);
    await this.signalDesktop();
  }

  private async signalDesktop(): Promise<void> {
    if (this.tracks.desktop === null || !this.established || this.desktopSignalled || this.closed) return;
    this.desktopSignalled = true;
    await this.media.addDesktop();
    const content = this.media.desktopContent("video");
    if (content === undefined || this.closed) return;
    await this.iq(writeJingle(this.head("source-add"), writeSourceContent(content)));
  }

  // --- the peer's description ---------------------------------------------------------------

  private remoteFrom(described: readonly Content[]): RemoteSections {
    // An answer stays as it is: it is the peer's choice.
    const contents = this.initiated ? described : preferCodecs(described, this.options.codecs);
    const audio = contents.find((c) => c.media === "audio") ?? emptyContent("audio");
    const video = contents.find((c) => c.media === "video") ?? emptyContent("video");
    const main = new Set([`${this.peerId}-a0`, `${this.peerId}-v0`, ""]);
    const remote = new RemoteSections([audio, video], (s) => main.has(s.name));
    for (const content of [audio, video]) {
      const media = content.media === "audio" ? "audio" : "video";
      for (const source of this.sourcesOf(content)) {
        if (main.has(source.name)) remote.adoptBase({ ...source, media });
        else remote.map({ ...source, media });
      }
    }
    return remote;
  }

  private sourcesOf(content: Content): ReturnType<typeof signalledSources> {
    return signalledSources({
      ...content,
      sources: content.sources.map((s) => ({ ...s, owner: this.peerId })),
    });
  }

  private onModify(contents: readonly Content[]): void {
    for (const content of contents) {
      if (content.senders === "none") this.media.setMaxHeight(this.media.sourceName("video"), 0);
      else if (content.frameHeights.size === 0) {
        this.media.setMaxHeight(this.media.sourceName("video"), Number.POSITIVE_INFINITY);
      }
      for (const [name, height] of content.frameHeights) this.media.setMaxHeight(name, height);
    }
  }

  // --- candidates ---------------------------------------------------------------------------

  private async onCandidates(candidates: readonly Candidate[]): Promise<void> {
    if (this.media.sections === undefined) this.early.push(...candidates);
    else await this.media.addCandidates("0", candidates);
  }

  private async flushEarly(): Promise<void> {
    await this.media.addCandidates("0", this.early.splice(0));
  }

  private onCandidate(candidate: Candidate): void {
    this.batch.push(candidate);
    this.scheduleBatch();
  }

  private scheduleBatch(): void {
    if (!this.mayTrickle || this.batchTimer !== undefined || this.batch.length === 0) return;
    this.batchTimer = this.options.clock.setTimeout(() => this.sendBatch(), CANDIDATE_BATCH);
  }

  private sendBatch(): void {
    this.batchTimer = undefined;
    if (this.closed) return;
    const transport = this.ownTransport();
    const candidates = this.batch;
    this.batch = [];
    if (transport === undefined) return;
    const content = el(
      "content",
      NS.jingle,
      { creator: this.initiated ? "initiator" : "responder", name: "0" },
      writeTransport({ ...transport, candidates }),
    );
    void this.iq(writeJingle(this.head("transport-info"), content)).catch(() => undefined);
  }

  private ownTransport(): Transport | undefined {
    return this.media.currentLocal()[0]?.transport;
  }

  // --- state --------------------------------------------------------------------------------

  /** The network is another one: listens, and gives the path up if nothing comes; the bridge is there. */
  checkPath(): void {
    if (this.connected) void this.pulse.listen();
  }

  private onIceState(state: RTCIceConnectionState): void {
    const { clock } = this.options;
    if (state === "connected" || state === "completed") {
      clock.clearTimeout(this.connectTimer);
      if (this.connected && !this.interrupted) return;
      this.connected = true;
      this.interrupted = false;
      this.pulse.start();
      this.emit("connected", undefined);
    } else if (state === "failed") {
      this.fail("connectivity-error");
    } else if (state === "disconnected") {
      this.interrupted = true;
      this.emit("interrupted", undefined);
      clock.clearTimeout(this.connectTimer);
      this.connectTimer = clock.setTimeout(() => {
        if (this.media.pc.iceConnectionState === "disconnected") this.fail("connectivity-error");
      }, BROKEN_GRACE);
    }
  }
}

function withoutCandidates(content: Content): Content {
  if (content.transport === undefined) return content;
  return { ...content, transport: { ...content.transport, candidates: [] } };
}
