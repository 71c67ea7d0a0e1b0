// Jingle (XEP-0166, 0167, 0176, 0320, 0338, 0339, 0343) with Jitsi's additions: parsed into plain values
// and written back.

import { resourceOf } from "./ids";
import { NS } from "./ns";
import { child, children, el, text, type XmlElement } from "./xml";

export type MediaKind = "audio" | "video";
export type ContentMedia = MediaKind | "application";

export interface Parameter {
  readonly name: string;
  readonly value: string;
}

export interface Feedback {
  readonly type: string;
  readonly subtype?: string;
}

export interface PayloadType {
  readonly id: number;
  readonly name: string;
  readonly clockrate: number;
  readonly channels: number;
  readonly parameters: readonly Parameter[];
  readonly feedback: readonly Feedback[];
}

export interface HeaderExtension {
  readonly id: number;
  readonly uri: string;
}

export interface Candidate {
  readonly foundation: string;
  readonly component: string;
  readonly protocol: string;
  readonly priority: string;
  readonly ip: string;
  readonly port: string;
  readonly type: string;
  readonly generation: string;
  readonly relAddr?: string;
  readonly relPort?: string;
  readonly tcpType?: string;
}

export interface Fingerprint {
  readonly hash: string;
  readonly setup: string;
  readonly value: string;
}

export interface Transport {
  readonly ufrag: string;
  readonly pwd: string;
  readonly fingerprints: readonly Fingerprint[];
  readonly candidates: readonly Candidate[];
  readonly sctpPort?: number;
  readonly webSocketUrls: readonly string[];
  readonly iceGeneration?: number;
  /** The bridge takes DTLS inside of connectivity checks (draft-hancke-webrtc-sped). */
  readonly sped?: boolean;
  /** What would stand in an SCTP INIT, base64 (draft-hancke-tsvwg-snap). */
  readonly sctpInit?: string;
}

/** One SSRC of a source, as signalled. */
export interface SsrcSource {
  readonly ssrc: number;
  readonly name: string;
  readonly msid: string;
  readonly owner: string;
  readonly videoType?: string;
}

export interface SsrcGroup {
  readonly semantics: string;
  readonly ssrcs: readonly number[];
}

export interface Content {
  readonly name: string;
  readonly media: ContentMedia;
  readonly senders: string;
  readonly payloads: readonly PayloadType[];
  readonly extensions: readonly HeaderExtension[];
  readonly allowMixed: boolean;
  readonly sources: readonly SsrcSource[];
  readonly groups: readonly SsrcGroup[];
  readonly transport?: Transport;
  /** `content-modify` of a peer: highest frame height wanted, by source name. */
  readonly frameHeights: ReadonlyMap<string, number>;
}

export interface Jingle {
  readonly action: string;
  readonly sid: string;
  readonly initiator: string;
  readonly contents: readonly Content[];
  readonly bridgeSession?: { readonly id: string; readonly region: string };
  readonly reason?: { readonly condition: string; readonly text: string };
  /** The session beside which this one is offered, to take its place when it carries everything. */
  readonly beside?: string;
  /** It carries nothing before that session ends, or before the focus says that it shall. */
  readonly spare?: boolean;
  /** A spare session shall carry everything. */
  readonly go?: boolean;
}

function numberOf(value: string | undefined): number {
  return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
}

/** Reads the `jingle` element of an IQ, including the compact JSON form of its sources. */
export function parseJingle(element: XmlElement): Jingle {
  const contents = children(element, "content", NS.jingle).map(parseContent);
  const session = child(element, "bridge-session", NS.focus);
  const reason = child(element, "reason", NS.jingle);
  const json = child(element, "json-message", NS.jitmeet);
  const move = child(element, "move", NS.moves);
  const beside = move?.attrs["sid"];
  return {
    action: element.attrs["action"] ?? "",
    sid: element.attrs["sid"] ?? "",
    initiator: element.attrs["initiator"] ?? "",
    contents: json === undefined ? contents : withJsonSources(contents, text(json)),
    ...(session !== undefined && {
      bridgeSession: { id: session.attrs["id"] ?? "", region: session.attrs["region"] ?? "" },
    }),
    ...(beside !== undefined && { beside, spare: move?.attrs["spare"] === "true" }),
    ...(move !== undefined && beside === undefined && { go: true }),
    ...(reason !== undefined && {
      reason: {
        condition: children(reason).find((c) => c.name !== "text")?.name ?? "",
        text: text(child(reason, "text")),
      },
    }),
  };
}

function parseContent(element: XmlElement): Content {
  const description = child(element, "description", NS.rtp);
  const transport = child(element, "transport", NS.iceUdp);
  const name = element.attrs["name"] ?? "";
  const stated = description?.attrs["media"] ?? name;
  const media: ContentMedia = stated === "audio" || stated === "video" ? stated : "application";
  const heights = new Map<string, number>();
  for (const height of children(element, "source-frame-height", NS.sourceFrameHeight)) {
    const value = numberOf(height.attrs["maxHeight"]);
    if (!Number.isNaN(value)) heights.set(height.attrs["sourceName"] ?? "", value);
  }
  return {
    name,
    media,
    senders: element.attrs["senders"] ?? "both",
    payloads: description === undefined ? [] : children(description, "payload-type").map(parsePayload),
    extensions: description === undefined ? [] : children(description, "rtp-hdrext").flatMap(parseExtension),
    allowMixed: description !== undefined && child(description, "extmap-allow-mixed") !== undefined,
    sources: description === undefined ? [] : children(description, "source", NS.ssma).flatMap(parseSource),
    groups: description === undefined ? [] : children(description, "ssrc-group", NS.ssma).flatMap(parseGroup),
    ...(transport !== undefined && { transport: parseTransport(transport) }),
    frameHeights: heights,
  };
}

function parsePayload(element: XmlElement): PayloadType {
  return {
    id: numberOf(element.attrs["id"]),
    name: element.attrs["name"] ?? "",
    clockrate: numberOf(element.attrs["clockrate"]),
    channels: numberOf(element.attrs["channels"] ?? "1"),
    parameters: children(element, "parameter").map((p) => ({
      name: p.attrs["name"] ?? "",
      value: p.attrs["value"] ?? "",
    })),
    feedback: children(element, "rtcp-fb").map((f) => ({
      type: f.attrs["type"] ?? "",
      ...(f.attrs["subtype"] !== undefined && { subtype: f.attrs["subtype"] }),
    })),
  };
}

function parseExtension(element: XmlElement): HeaderExtension[] {
  const id = numberOf(element.attrs["id"]);
  const uri = element.attrs["uri"];
  return Number.isNaN(id) || uri === undefined ? [] : [{ id, uri }];
}

function validSsrc(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= 0xffffffff;
}

function parseSource(element: XmlElement): SsrcSource[] {
  const ssrc = numberOf(element.attrs["ssrc"]);
  if (!validSsrc(ssrc)) return [];
  const info = child(element, "ssrc-info", NS.jitmeet)?.attrs["owner"] ?? "";
  const name = element.attrs["name"] ?? "";
  const msid = children(element, "parameter").find((p) => p.attrs["name"] === "msid")?.attrs["value"] ?? "";
  return [
    {
      ssrc,
      name,
      msid,
      owner: info.includes("/") ? resourceOf(info) : info,
      ...(element.attrs["videoType"] !== undefined && { videoType: element.attrs["videoType"] }),
    },
  ];
}

function parseGroup(element: XmlElement): SsrcGroup[] {
  const ssrcs = children(element, "source").map((s) => numberOf(s.attrs["ssrc"]));
  const semantics = element.attrs["semantics"] ?? "";
  return ssrcs.length > 0 && ssrcs.every(validSsrc) ? [{ semantics, ssrcs }] : [];
}

export function parseTransport(element: XmlElement): Transport {
  const sctp = numberOf(child(element, "sctpmap", NS.sctp)?.attrs["number"]);
  const generation = numberOf(element.attrs["ice-generation"]);
  const initElement = child(element, "sctp-init", NS.snap);
  const init = initElement === undefined ? "" : text(initElement).trim();
  return {
    ufrag: element.attrs["ufrag"] ?? "",
    pwd: element.attrs["pwd"] ?? "",
    fingerprints: children(element, "fingerprint", NS.dtls).map((f) => ({
      hash: f.attrs["hash"] ?? "sha-256",
      setup: f.attrs["setup"] ?? "",
      value: text(f).trim(),
    })),
    candidates: children(element, "candidate").map(parseCandidate),
    ...(!Number.isNaN(sctp) && { sctpPort: sctp }),
    webSocketUrls: children(element, "web-socket", NS.colibri).flatMap((w) => w.attrs["url"] ?? []),
    ...(!Number.isNaN(generation) && { iceGeneration: generation }),
    ...(child(element, "sped", NS.sped) && { sped: true }),
    ...(init !== "" && { sctpInit: init }),
  };
}

function parseCandidate(element: XmlElement): Candidate {
  const a = element.attrs;
  return {
    foundation: a["foundation"] ?? "1",
    component: a["component"] ?? "1",
    protocol: (a["protocol"] ?? "udp").toLowerCase(),
    priority: a["priority"] ?? "1",
    ip: a["ip"] ?? "",
    port: a["port"] ?? "",
    type: a["type"] ?? "host",
    generation: a["generation"] ?? "0",
    ...(a["rel-addr"] !== undefined && { relAddr: a["rel-addr"] }),
    ...(a["rel-port"] !== undefined && { relPort: a["rel-port"] }),
    ...(a["tcptype"] !== undefined && { tcpType: a["tcptype"] }),
  };
}

interface JsonSource {
  readonly s?: unknown;
  readonly n?: unknown;
  readonly m?: unknown;
  readonly v?: unknown;
}

/** Adds the sources of `{"sources":{owner:[video, videoGroups, audio, audioGroups]}}` to their contents. */
function withJsonSources(contents: readonly Content[], json: string): Content[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return [...contents];
  }
  const owners = (value as { sources?: unknown } | null)?.sources;
  if (typeof owners !== "object" || owners === null) return [...contents];
  const out = [...contents];
  for (const [owner, lists] of Object.entries(owners)) {
    if (!Array.isArray(lists)) continue;
    addJson(out, "video", owner, lists[0], lists[1]);
    addJson(out, "audio", owner, lists[2], lists[3]);
  }
  return out;
}

function addJson(out: Content[], media: MediaKind, owner: string, sources: unknown, groups: unknown): void {
  const added: SsrcSource[] = [];
  for (const raw of Array.isArray(sources) ? (sources as JsonSource[]) : []) {
    const ssrc = typeof raw?.s === "number" ? raw.s : Number.NaN;
    if (!validSsrc(ssrc)) continue;
    added.push({
      ssrc,
      name: typeof raw.n === "string" ? raw.n : "",
      msid: typeof raw.m === "string" ? raw.m : "",
      owner,
      ...(media === "video" && { videoType: raw.v === "d" ? "desktop" : "camera" }),
    });
  }
  const addedGroups: SsrcGroup[] = [];
  for (const raw of Array.isArray(groups) ? groups : []) {
    if (!Array.isArray(raw)) continue;
    const ssrcs = raw.slice(1).filter((s): s is number => typeof s === "number" && validSsrc(s));
    const semantics = raw[0] === "f" ? "FID" : raw[0] === "s" ? "SIM" : String(raw[0]);
    if (ssrcs.length > 0) addedGroups.push({ semantics, ssrcs });
  }
  if (added.length === 0) return;
  const index = out.findIndex((c) => c.media === media);
  const base = out[index] ?? emptyContent(media);
  const merged: Content = {
    ...base,
    sources: [...base.sources, ...added],
    groups: [...base.groups, ...addedGroups],
  };
  if (index < 0) out.push(merged);
  else out[index] = merged;
}

export function emptyContent(media: ContentMedia, name: string = media): Content {
  return {
    name,
    media,
    senders: "both",
    payloads: [],
    extensions: [],
    allowMixed: false,
    sources: [],
    groups: [],
    frameHeights: new Map(),
  };
}

/** One entry for each source with a primary SSRC, leaving out retransmission SSRCs and the bridge's own. */
export function signalledSources(
  content: Content,
): { name: string; owner: string; ssrc: number; rtx: number | undefined; videoType: string }[] {
  const secondary = new Set<number>();
  const rtxOf = new Map<number, number>();
  for (const group of content.groups) {
    const [first, ...rest] = group.ssrcs;
    for (const ssrc of rest) secondary.add(ssrc);
    if (group.semantics === "FID" && first !== undefined && rest[0] !== undefined) rtxOf.set(first, rest[0]);
  }
  return content.sources
    .filter((s) => s.owner !== "jvb" && s.owner !== "" && !secondary.has(s.ssrc))
    .map((s) => ({
      name: s.name || `${s.owner}-${content.media === "audio" ? "a0" : "v0"}`,
      owner: s.owner,
      ssrc: s.ssrc,
      rtx: rtxOf.get(s.ssrc),
      videoType: s.videoType?.startsWith("desktop") ? "desktop" : "camera",
    }));
}

/**
 * Puts video codecs in the order of preference. The browser answers in the order of the offer and sends the
 * first codec, whatever it is told otherwise.
 */
export function preferCodecs(contents: readonly Content[], codecs: readonly string[]): Content[] {
  const rank = (payload: PayloadType): number => {
    const index = codecs.indexOf(payload.name.toLowerCase());
    return index < 0 ? codecs.length : index;
  };
  return contents.map((content) =>
    content.media === "video"
      ? { ...content, payloads: [...content.payloads].sort((a, b) => rank(a) - rank(b)) }
      : content,
  );
}

// --- writing ----------------------------------------------------------------------------------

export interface JingleHead {
  readonly action: string;
  readonly sid: string;
  readonly initiator: string;
  readonly responder?: string;
}

export function writeJingle(head: JingleHead, ...content: (XmlElement | undefined)[]): XmlElement {
  return el(
    "jingle",
    NS.jingle,
    { action: head.action, initiator: head.initiator, responder: head.responder, sid: head.sid },
    content,
  );
}

export function writeGroup(names: readonly string[]): XmlElement {
  return el(
    "group",
    NS.grouping,
    { semantics: "BUNDLE" },
    names.map((name) => el("content", NS.grouping, { name })),
  );
}

export function writeContent(content: Content, creator: "initiator" | "responder"): XmlElement {
  const isData = content.media === "application";
  return el(
    "content",
    NS.jingle,
    { creator, name: content.name, senders: isData ? undefined : content.senders },
    isData ? undefined : writeDescription(content),
    content.transport === undefined ? undefined : writeTransport(content.transport),
  );
}

function writeDescription(content: Content): XmlElement {
  return el(
    "description",
    NS.rtp,
    { media: content.media },
    content.payloads.map(writePayload),
    writeSources(content),
    el("rtcp-mux", NS.rtp),
    content.extensions.map((e) => el("rtp-hdrext", NS.hdrExt, { id: e.id, uri: e.uri })),
    content.allowMixed && el("extmap-allow-mixed", NS.hdrExt),
  );
}

/** The content of a `source-add` or `source-remove`: sources only. */
export function writeSourceContent(content: Content): XmlElement {
  return el(
    "content",
    NS.jingle,
    { name: content.name },
    el("description", NS.rtp, { media: content.media }, writeSources(content)),
  );
}

function writeSources(content: Content): XmlElement[] {
  const sources = content.sources.map((s) =>
    el(
      "source",
      NS.ssma,
      { name: s.name || undefined, ssrc: s.ssrc, videoType: s.videoType },
      el("parameter", NS.ssma, { name: "msid", value: s.msid }),
    ),
  );
  const groups = content.groups.map((g) =>
    el(
      "ssrc-group",
      NS.ssma,
      { semantics: g.semantics },
      g.ssrcs.map((ssrc) => el("source", NS.ssma, { ssrc })),
    ),
  );
  return [...sources, ...groups];
}

function writePayload(payload: PayloadType): XmlElement {
  return el(
    "payload-type",
    NS.rtp,
    { channels: payload.channels, clockrate: payload.clockrate, id: payload.id, name: payload.name },
    payload.parameters.map((p) => el("parameter", NS.rtp, { name: p.name, value: p.value })),
    payload.feedback.map((f) => el("rtcp-fb", NS.rtcpFb, { type: f.type, subtype: f.subtype })),
  );
}

export function writeTransport(transport: Transport): XmlElement {
  return el(
    "transport",
    NS.iceUdp,
    { "ice-generation": transport.iceGeneration, ufrag: transport.ufrag, pwd: transport.pwd },
    transport.sctpPort !== undefined &&
      el("sctpmap", NS.sctp, { number: transport.sctpPort, protocol: "webrtc-datachannel", streams: 0 }),
    transport.sctpInit !== undefined && el("sctp-init", NS.snap, {}, transport.sctpInit),
    transport.fingerprints.map((f) =>
      el("fingerprint", NS.dtls, { hash: f.hash, setup: f.setup || undefined }, f.value),
    ),
    transport.candidates.map(writeCandidate),
  );
}

function writeCandidate(candidate: Candidate, index: number): XmlElement {
  return el("candidate", NS.iceUdp, {
    component: candidate.component,
    foundation: candidate.foundation,
    generation: candidate.generation,
    id: `c${index}-${candidate.foundation}`,
    ip: candidate.ip,
    network: 1,
    port: candidate.port,
    priority: candidate.priority,
    protocol: candidate.protocol,
    "rel-addr": candidate.relAddr,
    "rel-port": candidate.relPort,
    tcptype: candidate.tcpType,
    type: candidate.type,
  });
}
