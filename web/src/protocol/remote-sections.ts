// The far side of a peer connection as a list of m-lines: the base ones of the offer, one for each remote
// SSRC, and one for each further source we send. Every description handed to the browser is written from it.

import { type Content, type MediaKind, preferCodecs, type SsrcGroup, type Transport } from "./jingle";
import { type SdpSection, type SdpSource, withoutLocalExtensions, writeSdp } from "./sdp";

/** A media source somebody else sends, as the model sees it. */
export interface RemoteSourceInfo {
  readonly name: string;
  readonly owner: string;
  readonly media: MediaKind;
  readonly ssrc: number;
  readonly rtx: number | undefined;
  readonly videoType: string;
}

interface Section {
  readonly mid: string;
  readonly media: "audio" | "video" | "application";
  /** A base m-line carries our own first source of its kind and the bridge's own SSRC. */
  readonly base: boolean;
  /** Sources of the far side in a base m-line. */
  readonly baseSources: readonly SdpSource[];
  readonly baseGroups: readonly SsrcGroup[];
  /** Our own source sent in this m-line, beyond the base ones. */
  localName?: string;
  remote?: RemoteSourceInfo;
  /** Whether the SSRC, which stays in the description, has been announced at all. */
  ssrc?: number;
  rtx?: number | undefined;
}

export class RemoteSections {
  private readonly sections: Section[] = [];
  private readonly templates = new Map<string, Content>();
  private transport: Transport;
  private version = 1;
  private rids: readonly string[] | undefined;

  /**
   * @param contents of the offer (or of the accept, when we offered), in m-line order
   * @param feedback whether sources in the base contents belong to the bridge itself and show nothing
   */
  constructor(contents: readonly Content[], feedback: (source: { owner: string; name: string }) => boolean) {
    const transport = contents.find((c) => c.transport !== undefined)?.transport;
    if (transport === undefined) throw new Error("an offer without a transport");
    this.transport = transport;
    for (const content of contents) {
      this.templates.set(content.media, content);
      const own = content.sources.filter(feedback);
      this.sections.push({
        mid: String(this.sections.length),
        media: content.media,
        base: true,
        baseSources: own.map((s) => ({ ssrc: s.ssrc, msid: s.msid })),
        baseGroups: content.groups.filter((g) => g.ssrcs.every((ssrc) => own.some((s) => s.ssrc === ssrc))),
      });
    }
  }

  /** Orders the video codecs. Returns true if the browser needs a new description. */
  preferCodecs(codecs: readonly string[]): boolean {
    const video = this.templates.get("video");
    if (video === undefined) return false;
    const [ordered = video] = preferCodecs([video], codecs);
    this.templates.set("video", ordered);
    return ordered.payloads.some((payload, index) => payload !== video.payloads[index]);
  }

  /** Asks for layers of our camera by name. */
  askForLayers(count: number): void {
    this.rids = Array.from({ length: count }, (_, index) => String(index));
  }

  get hasData(): boolean {
    return this.sections.some((s) => s.media === "application");
  }

  /** The m-line of our first source of a kind. */
  baseMid(media: MediaKind): string | undefined {
    return this.sections.find((s) => s.base && s.media === media)?.mid;
  }

  setTransport(transport: Transport): void {
    // What the association began with stays as it was.
    const { sctpInit = transport.sctpInit } = this.transport;
    this.transport = { ...transport, webSocketUrls: [], ...(sctpInit !== undefined && { sctpInit }) };
  }

  get currentTransport(): Transport {
    return this.transport;
  }

  /** Says which source uses an SSRC. Returns true if the browser needs a new description. */
  map(source: RemoteSourceInfo): boolean {
    // A source that moved to another SSRC leaves its old one without an owner.
    for (const section of this.sections) {
      if (section.remote?.name === source.name && section.ssrc !== source.ssrc) delete section.remote;
    }
    const known = this.sections.find((s) => s.ssrc === source.ssrc && s.media === source.media);
    if (known !== undefined) {
      known.remote = source;
      return false;
    }
    const free = this.sections.find(
      (s) => !s.base && s.media === source.media && s.ssrc === undefined && s.localName === undefined,
    );
    const section = free ?? this.add(source.media);
    section.ssrc = source.ssrc;
    section.rtx = source.rtx;
    section.remote = source;
    return true;
  }

  /** In a session with a peer, its first source of a kind arrives in the base m-line. */
  adoptBase(source: RemoteSourceInfo): void {
    const section = this.sections.find((s) => s.base && s.media === source.media);
    if (section !== undefined) section.remote = source;
  }

  /** The source with this SSRC has ended; its m-line is free. Returns true if something changed. */
  unmap(ssrc: number): boolean {
    const section = this.sections.find((s) => !s.base && s.ssrc === ssrc);
    if (section === undefined) return false;
    delete section.ssrc;
    delete section.rtx;
    delete section.remote;
    return true;
  }

  /** Forgets who used the SSRCs of a participant that left; with rewriting the SSRCs stay allocated. */
  disown(owner: string): boolean {
    let changed = false;
    for (const section of this.sections) {
      if (section.remote?.owner !== owner) continue;
      delete section.remote;
      changed = true;
    }
    return changed;
  }

  /** Gives one more of our own video sources an m-line. Returns its mid. */
  addLocal(media: MediaKind, name: string): string {
    const existing = this.sections.find((s) => s.localName === name);
    if (existing !== undefined) return existing.mid;
    const section = this.add(media);
    section.localName = name;
    return section.mid;
  }

  localMids(): { name: string; mid: string }[] {
    return this.sections.flatMap((s) =>
      s.localName === undefined ? [] : [{ name: s.localName, mid: s.mid }],
    );
  }

  /** Sources that have an owner now, with the m-line each arrives in. */
  sources(): { source: RemoteSourceInfo; mid: string }[] {
    return this.sections.flatMap((s) => (s.remote === undefined ? [] : [{ source: s.remote, mid: s.mid }]));
  }

  private add(media: MediaKind): Section {
    const section: Section = {
      mid: String(this.sections.length),
      media,
      base: false,
      baseSources: [],
      baseGroups: [],
    };
    this.sections.push(section);
    return section;
  }

  /** How many m-lines there are. */
  get count(): number {
    return this.sections.length;
  }

  toSections(): SdpSection[] {
    return this.sections.map((s) => this.toSection(s));
  }

  /** The far side's description. */
  toSdp(): string {
    return writeSdp(this.toSections(), this.version++);
  }

  private toSection(section: Section): SdpSection {
    const template = this.templates.get(section.media);
    const shared = {
      mid: section.mid,
      media: section.media,
      rejected: template?.senders === "rejected",
      payloads: template?.payloads ?? [],
      extensions: withoutLocalExtensions(template?.extensions ?? []),
      allowMixed: template?.allowMixed ?? false,
      transport:
        section.media === "application"
          ? { ...this.transport, sctpPort: template?.transport?.sctpPort ?? 5000 }
          : this.transport,
    };
    if (section.base) {
      const rids = section.media === "video" ? this.rids : undefined;
      const own = { sources: section.baseSources, groups: section.baseGroups, rids };
      return { ...shared, direction: "sendrecv", ...own };
    }
    if (section.localName !== undefined) return { ...shared, direction: "recvonly", sources: [], groups: [] };
    if (section.ssrc === undefined) return { ...shared, direction: "inactive", sources: [], groups: [] };
    const msid = `remote-${section.media}-${section.mid} remote-${section.media}-${section.mid}`;
    const sources = [{ ssrc: section.ssrc, msid }];
    if (section.rtx === undefined) return { ...shared, direction: "sendonly", sources, groups: [] };
    return {
      ...shared,
      direction: "sendonly",
      sources: [...sources, { ssrc: section.rtx, msid }],
      groups: [{ semantics: "FID", ssrcs: [section.ssrc, section.rtx] }],
    };
  }
}
