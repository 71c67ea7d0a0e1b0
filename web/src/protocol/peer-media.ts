// One peer connection driven by Jingle values: local tracks, remote sources, and descriptions exchanged
// with the browser one at a time.

import { type Blockage, readBlockage } from "./blockage";
import { Emitter } from "./emitter";
import {
  cameraEncodings,
  desktopEncoding,
  type Encoding,
  isOneStream,
  isScalable,
  peerEncoding,
  scalableEncodings,
  simulcastMode,
} from "./encodings";
import { randomHex } from "./ids";
import type { Candidate, Content, MediaKind, SsrcSource, Transport } from "./jingle";
import type { RemoteSections, RemoteSourceInfo } from "./remote-sections";
import {
  addSimulcast,
  candidateLine,
  contentOf,
  type LayerSsrcs,
  readCandidate,
  readSdp,
  type SdpSection,
  withoutLocalExtensions,
  withSimulcastGroup,
} from "./sdp";

/** What the user sends; `null` where there is nothing or it is muted. */
export interface LocalTracks {
  readonly audio: MediaStreamTrack | null;
  readonly video: MediaStreamTrack | null;
  readonly desktop: MediaStreamTrack | null;
}

export interface RemoteTrack {
  readonly source: RemoteSourceInfo;
  readonly track: MediaStreamTrack;
  readonly receiver: RTCRtpReceiver;
}

export interface PeerMediaOptions {
  readonly endpointId: string;
  readonly role: "offerer" | "answerer";
  /** Simulcast layers of the camera; 1 for a session with a single peer. */
  readonly layers: number;
  /** The browser names its layers, and takes no description in which their SSRCs are written; see {@link namesLayers}. */
  readonly layersByName?: boolean;
  /** Video codecs by preference, lower case. */
  readonly codecs: readonly string[];
}

export interface PeerMediaEvents {
  /** The remote tracks have changed. */
  tracks: undefined;
  iceState: RTCIceConnectionState;
  candidate: { readonly mid: string; readonly candidate: Candidate };
}

const SIMULCAST_SSRC_RANGE = 0xfffffffe;

export class PeerMedia extends Emitter<PeerMediaEvents> {
  readonly pc: RTCPeerConnection;
  /** Whether sources were noted that the browser does not know yet. */
  outdated = false;
  private readonly options: PeerMediaOptions;
  private codecs: readonly string[];
  private remote: RemoteSections | undefined;
  private tracks: LocalTracks = { audio: null, video: null, desktop: null };
  private sending = true;
  private layers: LayerSsrcs | undefined;
  private readonly maxHeights = new Map<string, number>();
  private readonly msids = new Map<string, string>();
  private readonly senderWork = new WeakMap<RTCRtpSender, Promise<void>>();
  private work: Promise<void> = Promise.resolve();
  private attaching: Promise<void> = Promise.resolve();
  private renegotiationQueued = false;
  private closed = false;
  /** Whether the browser takes scalability modes; known once one was asked for. */
  private scalable = true;
  private readonly pendingCandidates: RTCIceCandidateInit[] = [];

  constructor(pc: RTCPeerConnection, options: PeerMediaOptions) {
    super();
    this.pc = pc;
    this.options = options;
    this.codecs = options.codecs;
    pc.oniceconnectionstatechange = () => {
      if (!this.closed) this.emit("iceState", pc.iceConnectionState);
    };
    pc.onicecandidate = ({ candidate }) => {
      if (candidate === null || candidate.candidate === "") return;
      const [read] = readCandidate(candidate.candidate);
      if (read !== undefined) this.emit("candidate", { mid: candidate.sdpMid ?? "0", candidate: read });
    };
  }

  get sections(): RemoteSections | undefined {
    return this.remote;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.pc.close();
    this.emit("tracks", undefined);
  }

  // --- descriptions -------------------------------------------------------------------------

  /** Takes the far side's offer and returns our answer. */
  answer(remote: RemoteSections): Promise<SdpSection[]> {
    return this.enqueue(async () => {
      this.remote = remote;
      if (this.options.layersByName && this.options.layers > 1) remote.askForLayers(this.options.layers);
      return this.negotiateAsAnswerer();
    });
  }

  /** Makes our offer of one audio and one video m-line. */
  offer(): Promise<SdpSection[]> {
    return this.enqueue(async () => {
      this.pc.addTransceiver("audio", { direction: "sendrecv" });
      const video = this.pc.addTransceiver("video", { direction: "sendrecv" });
      this.preferCodecs(video);
      await this.attachTracks();
      const offer = await this.pc.createOffer();
      await this.pc.setLocalDescription(offer);
      return this.localSections();
    });
  }

  /** Takes the far side's answer to our offer. */
  acceptAnswer(remote: RemoteSections): Promise<void> {
    return this.enqueue(async () => {
      this.remote = remote;
      await this.pc.setRemoteDescription({ type: "answer", sdp: remote.toSdp() });
      await this.afterNegotiation();
    });
  }

  /** Brings the browser's descriptions up to the current sections; calls in between are joined. */
  renegotiate(): Promise<void> {
    if (this.renegotiationQueued) return this.work;
    this.renegotiationQueued = true;
    return this.enqueue(async () => {
      this.renegotiationQueued = false;
      this.outdated = false;
      if (this.remote === undefined || this.closed) return;
      if (this.options.role === "answerer") await this.negotiateAsAnswerer();
      else await this.negotiateAsOfferer();
    });
  }

  /** Applies new ICE credentials of the far side and returns our own new ones. */
  restartIce(transport: Transport): Promise<SdpSection[]> {
    return this.enqueue(async () => {
      const old = this.remote?.currentTransport;
      if (this.remote === undefined || old === undefined) throw new Error("no session to restart");
      const fingerprints = old.fingerprints.map((f) => ({ ...f, setup: "actpass" }));
      this.remote.setTransport({ ...transport, fingerprints });
      return this.negotiateAsAnswerer();
    });
  }

  private async negotiateAsAnswerer(): Promise<SdpSection[]> {
    const remote = this.remote;
    if (remote === undefined) throw new Error("no offer yet");
    await this.pc.setRemoteDescription({ type: "offer", sdp: remote.toSdp() });
    await this.attachTracks();
    const answer = await this.pc.createAnswer();
    await this.pc.setLocalDescription({ type: "answer", sdp: this.withLayers(answer.sdp ?? "") });
    await this.afterNegotiation();
    return this.localSections();
  }

  private async negotiateAsOfferer(): Promise<void> {
    const remote = this.remote;
    if (remote === undefined) return;
    const local = new Map(remote.localMids().map((l) => [l.mid, l.name]));
    for (let mid = this.pc.getTransceivers().length; mid < remote.count; mid++) {
      const media = remote.toSections()[mid]?.media;
      if (media !== "audio" && media !== "video") continue;
      this.pc.addTransceiver(media, { direction: local.has(String(mid)) ? "sendonly" : "recvonly" });
    }
    await this.pc.setLocalDescription(await this.pc.createOffer());
    await this.pc.setRemoteDescription({ type: "answer", sdp: remote.toSdp() });
    await this.attachTracks();
    await this.afterNegotiation();
  }

  private async afterNegotiation(): Promise<void> {
    for (const candidate of this.pendingCandidates.splice(0)) await this.addIce(candidate);
    this.applyEncodings();
    this.emit("tracks", undefined);
  }

  private withLayers(sdp: string): string {
    const mid = this.remote?.baseMid("video");
    if (this.options.layers < 2 || this.options.layersByName || mid === undefined) return sdp;
    const newSsrc = (): number => (Number.parseInt(randomHex(8), 16) % SIMULCAST_SSRC_RANGE) + 1;
    const result = addSimulcast(sdp, mid, this.options.layers, newSsrc, this.layers);
    this.layers = result.layers;
    return result.sdp;
  }

  /** Our side as the browser describes it now. */
  currentLocal(): SdpSection[] {
    return this.localSections();
  }

  private localSections(): SdpSection[] {
    const sections = readSdp(this.pc.localDescription?.sdp ?? "");
    return this.options.layersByName ? sections.map(withSimulcastGroup) : sections;
  }

  private enqueue<T>(task: () => Promise<T>): Promise<T> {
    const run = this.work.then(task);
    this.work = run.then(
      () => undefined,
      () => undefined,
    );
    return run;
  }

  // --- candidates of the far side -----------------------------------------------------------

  async addCandidates(mid: string, candidates: readonly Candidate[]): Promise<void> {
    for (const candidate of candidates) {
      const init = { sdpMid: mid, candidate: candidateLine(candidate) };
      if (this.pc.remoteDescription === null) this.pendingCandidates.push(init);
      else await this.addIce(init);
    }
  }

  private async addIce(candidate: RTCIceCandidateInit): Promise<void> {
    try {
      await this.pc.addIceCandidate(candidate);
    } catch (error) {
      console.warn("a candidate was refused", error);
    }
  }

  // --- local media --------------------------------------------------------------------------

  /**
   * Replaces what is sent, at any time: also between an own offer and its answer. A desktop track needs an m-line of
   * its own first, see `addDesktop`.
   */
  async setTracks(tracks: LocalTracks): Promise<void> {
    this.tracks = tracks;
    await this.attachTracks();
    this.applyEncodings();
  }

  /** Stops or restarts sending without touching the descriptions. */
  async setSending(sending: boolean): Promise<void> {
    if (this.sending === sending) return;
    this.sending = sending;
    await this.setTracks(this.tracks);
  }

  /** Gives the shared screen an m-line. Returns true if it had none. */
  async addDesktop(): Promise<boolean> {
    const name = this.sourceName("desktop");
    if (this.remote === undefined || this.remote.localMids().some((l) => l.name === name)) return false;
    this.remote.addLocal("video", name);
    await this.renegotiate();
    return true;
  }

  sourceName(kind: "audio" | "video" | "desktop"): string {
    const suffix = kind === "audio" ? "a0" : kind === "video" ? "v0" : "v1";
    return `${this.options.endpointId}-${suffix}`;
  }

  /** Highest frame that anyone wants of an own source; 0 stops it. */
  setMaxHeight(sourceName: string, maxHeight: number): void {
    this.maxHeights.set(sourceName, maxHeight);
    this.applyEncodings();
  }

  private senderRows(): { kind: "audio" | "video" | "desktop"; mid: string }[] {
    const rows: { kind: "audio" | "video" | "desktop"; mid: string }[] = [];
    // Before the answer to an own offer there are only the two base m-lines.
    rows.push({ kind: "audio", mid: this.remote?.baseMid("audio") ?? "0" });
    rows.push({ kind: "video", mid: this.remote?.baseMid("video") ?? "1" });
    for (const { mid } of this.remote?.localMids() ?? []) rows.push({ kind: "desktop", mid });
    return rows;
  }

  private transceiver(mid: string, index: number): RTCRtpTransceiver | undefined {
    const all = this.pc.getTransceivers();
    return all.find((t) => t.mid === mid) ?? (this.remote === undefined ? all[index] : undefined);
  }

  /** Gives every sender what it is to send, one call after the other: a sender names its new track only once it has it. */
  private attachTracks(): Promise<void> {
    const run = this.attaching.then(() => this.attachNow());
    this.attaching = run.catch(() => undefined);
    return run;
  }

  private async attachNow(): Promise<void> {
    if (this.closed) return;
    const jobs = this.senderRows().map(async ({ kind, mid }, index) => {
      const transceiver = this.transceiver(mid, index);
      if (transceiver === undefined) return;
      const direction = kind === "desktop" ? "sendonly" : "sendrecv";
      if (transceiver.direction !== direction) transceiver.direction = direction;
      if (kind !== "audio" && transceiver.currentDirection === null) this.preferCodecs(transceiver);
      const track = this.sending ? this.tracks[kind] : null;
      if (transceiver.sender.track !== track) await transceiver.sender.replaceTrack(track);
    });
    await Promise.all(jobs);
  }

  /** Sends another codec first, in a running session by negotiating anew. */
  async setCodecs(codecs: readonly string[]): Promise<void> {
    // The others come into play only where the first cannot be sent.
    if (this.codecs[0] === codecs[0]) return;
    this.codecs = codecs;
    if (this.remote === undefined || this.closed) return;
    if (!this.remote.preferCodecs(codecs)) return;
    for (const { kind, mid } of this.senderRows()) {
      const transceiver = kind === "audio" ? undefined : this.transceiver(mid, -1);
      if (transceiver !== undefined) this.preferCodecs(transceiver);
    }
    await this.renegotiate();
  }

  private preferCodecs(transceiver: RTCRtpTransceiver): void {
    const capabilities = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
    const rank = (mime: string): number => {
      const index = this.codecs.indexOf(mime.toLowerCase().replace("video/", ""));
      return index < 0 ? this.codecs.length : index;
    };
    const sorted = [...capabilities].sort((a, b) => rank(a.mimeType) - rank(b.mimeType));
    try {
      transceiver.setCodecPreferences(sorted);
    } catch (error) {
      console.warn("codec order not accepted", error);
    }
  }

  private applyEncodings(): void {
    if (this.closed) return;
    for (const { kind, mid } of this.senderRows()) {
      if (kind === "audio") continue;
      const sender = this.pc.getTransceivers().find((t) => t.mid === mid)?.sender;
      if (sender === undefined) continue;
      const before = this.senderWork.get(sender) ?? Promise.resolve();
      this.senderWork.set(
        sender,
        before.then(() => this.applyTo(sender, kind)),
      );
    }
  }

  private encodingsFor(kind: "video" | "desktop", count: number, height: number, codec: string): Encoding[] {
    const wanted = this.maxHeights.get(this.sourceName(kind)) ?? Number.POSITIVE_INFINITY;
    if (kind === "desktop") return Array.from({ length: count }, () => desktopEncoding(wanted));
    if (count === 1) return [peerEncoding(height, Math.min(wanted, 100_000))];
    if (this.scalable ? isScalable(codec) : isOneStream(codec)) {
      return scalableEncodings(count, height, wanted, codec, this.scalable);
    }
    return cameraEncodings(count, height, wanted, this.scalable ? simulcastMode(codec) : undefined);
  }

  private async applyTo(sender: RTCRtpSender, kind: "video" | "desktop"): Promise<void> {
    const parameters = sender.getParameters();
    if (this.closed || parameters.encodings === undefined || parameters.encodings.length === 0) return;
    const height = sender.track?.getSettings().height ?? 720;
    const sent = parameters.codecs?.[0]?.mimeType.toLowerCase().replace("video/", "") ?? this.codecs[0];
    const target = this.encodingsFor(kind, parameters.encodings.length, height, sent ?? "");
    let changed = false;
    const encodings: (RTCRtpEncodingParameters & { scalabilityMode?: string | undefined })[] =
      parameters.encodings;
    encodings.forEach((encoding, index) => {
      const to = target[index];
      if (to === undefined) return;
      changed ||=
        encoding.active !== to.active ||
        encoding.scaleResolutionDownBy !== to.scaleResolutionDownBy ||
        encoding.maxBitrate !== to.maxBitrate ||
        encoding.scalabilityMode !== to.scalabilityMode;
      Object.assign(encoding, to);
      if (to.scalabilityMode === undefined) delete encoding.scalabilityMode;
    });
    if (kind === "desktop") parameters.degradationPreference = "maintain-resolution";
    if (!changed) return;
    const scalable = target.some((e) => e.scalabilityMode !== undefined);
    try {
      await sender.setParameters(parameters);
    } catch (error) {
      console.warn("encoding parameters not accepted", error);
      if (!scalable) return;
      this.scalable = false;
    }
    // A browser that does not know scalability modes passes over them: it has simulcast instead.
    if (scalable && !hasScalability(sender)) this.scalable = false;
    if (scalable && !this.scalable) await this.applyTo(sender, kind);
  }

  // --- what is signalled --------------------------------------------------------------------

  /** The contents of an accept or initiate: what we send, under the given content names. */
  localContents(sections: readonly SdpSection[], nameOf: (section: SdpSection) => string): Content[] {
    const base = sections.filter((s) => this.isBase(s));
    return base.map((section) => {
      const kind = section.media === "application" ? undefined : section.media;
      const sources = kind === undefined ? [] : this.signalled(section, kind);
      const content = contentOf(section, nameOf(section), sources);
      return { ...content, extensions: withoutLocalExtensions(content.extensions) };
    });
  }

  /** The content of a `source-add` for the shared screen. */
  desktopContent(contentName: string): Content | undefined {
    const name = this.sourceName("desktop");
    const mid = this.remote?.localMids().find((l) => l.name === name)?.mid;
    const section = this.localSections().find((s) => s.mid === mid);
    if (section === undefined) return undefined;
    return contentOf(section, contentName, this.signalled(section, "desktop"));
  }

  private isBase(section: SdpSection): boolean {
    if (section.media === "application" || this.remote === undefined) return true;
    return this.remote.baseMid(section.media) === section.mid;
  }

  private signalled(section: SdpSection, kind: "audio" | "video" | "desktop"): SsrcSource[] {
    const name = this.sourceName(kind);
    const key = `${kind === "audio" ? "audio" : "video"}-${kind === "desktop" ? 1 : 0}`;
    const msid = this.msids.get(name) ?? `${this.options.endpointId}-${key}-1 ${randomHex(16)}-1`;
    this.msids.set(name, msid);
    return section.sources.map((s) => ({
      ssrc: s.ssrc,
      name,
      msid,
      owner: this.options.endpointId,
      ...(kind !== "audio" && { videoType: kind === "desktop" ? "desktop" : "camera" }),
    }));
  }

  // --- remote media -------------------------------------------------------------------------

  remoteTracks(): RemoteTrack[] {
    if (this.closed || this.remote === undefined) return [];
    const byMid = new Map(this.pc.getTransceivers().map((t) => [t.mid, t.receiver]));
    return this.remote.sources().flatMap(({ source, mid }) => {
      const receiver = byMid.get(mid);
      return receiver === undefined ? [] : [{ source, track: receiver.track, receiver }];
    });
  }

  /** When the newest picture of anybody came, in milliseconds of the browser; undefined without any. */
  newestPicture(): number | undefined {
    if (this.closed) return undefined;
    const videos = this.pc.getReceivers().filter((r) => r.track.kind === "video");
    const times = videos.flatMap((r) => r.getSynchronizationSources().map((s) => s.timestamp));
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** Bytes that have come over the network in all; undefined if the browser does not say. */
  async receivedBytes(): Promise<number | undefined> {
    const counts = (await this.measured())
      .filter((e) => e["type"] === "candidate-pair" && typeof e["bytesReceived"] === "number")
      .map((e) => Number(e["bytesReceived"]));
    return counts.length === 0 ? undefined : counts.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Why it does not connect. */
  async blockage(): Promise<Blockage> {
    return readBlockage(await this.measured());
  }

  private async measured(): Promise<Record<string, unknown>[]> {
    const report = this.closed ? undefined : await this.pc.getStats().catch(() => undefined);
    const entries: Record<string, unknown>[] = [];
    report?.forEach((entry: Record<string, unknown>) => {
      entries.push(entry);
    });
    return entries;
  }

  /** Notes which SSRC carries which source, and renegotiates if an SSRC is new. */
  async mapSources(media: MediaKind, sources: readonly Omit<RemoteSourceInfo, "media">[]): Promise<void> {
    if (this.noteSources(media, sources)) await this.renegotiate();
  }

  /** Notes which SSRC carries which source. Returns whether `renegotiate` has to follow. */
  noteSources(media: MediaKind, sources: readonly Omit<RemoteSourceInfo, "media">[]): boolean {
    if (this.remote === undefined) return false;
    let needed = false;
    for (const source of sources) needed = this.remote.map({ ...source, media }) || needed;
    if (needed) this.outdated = true;
    else this.emit("tracks", undefined);
    return needed;
  }

  async unmapSources(ssrcs: readonly number[]): Promise<void> {
    let needed = false;
    for (const ssrc of ssrcs) needed = this.remote?.unmap(ssrc) || needed;
    if (needed) await this.renegotiate();
  }

  disown(owner: string): void {
    if (this.remote?.disown(owner)) this.emit("tracks", undefined);
  }
}

function hasScalability(sender: RTCRtpSender): boolean {
  const first: (RTCRtpEncodingParameters & { scalabilityMode?: string }) | undefined =
    sender.getParameters().encodings?.[0];
  return first?.scalabilityMode !== undefined;
}
