// Session descriptions (RFC 8866) written from and read into the values of Jingle.

import type {
  Candidate,
  Content,
  ContentMedia,
  Feedback,
  HeaderExtension,
  PayloadType,
  SsrcGroup,
  Transport,
} from "./jingle";

export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

export interface SdpSource {
  readonly ssrc: number;
  /** Stream id and track id, separated by a space. */
  readonly msid: string;
}

/** One m-line. */
export interface SdpSection {
  readonly mid: string;
  readonly media: ContentMedia;
  readonly direction: Direction;
  readonly rejected: boolean;
  readonly payloads: readonly PayloadType[];
  readonly extensions: readonly HeaderExtension[];
  readonly allowMixed: boolean;
  readonly transport: Transport;
  readonly sources: readonly SdpSource[];
  readonly groups: readonly SsrcGroup[];
  /** Names of the layers that the writer takes, lowest first (RFC 8853). */
  readonly rids?: readonly string[] | undefined;
}

export const MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid";

/**
 * Extensions that would let the browser sort packets by m-line or RID. Each side numbers its m-lines by
 * itself, so packets are told apart by SSRC alone.
 */
const LOCAL_ONLY = new Set([
  MID_EXTENSION,
  "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
  "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
]);

export function withoutLocalExtensions(extensions: readonly HeaderExtension[]): HeaderExtension[] {
  return extensions.filter((e) => !LOCAL_ONLY.has(e.uri));
}

// --- writing ----------------------------------------------------------------------------------

export function writeSdp(sections: readonly SdpSection[], version: number): string {
  const bundled = sections.filter((s) => !s.rejected).map((s) => s.mid);
  const lines = [
    "v=0",
    `o=- 1 ${version} IN IP4 0.0.0.0`,
    "s=-",
    "t=0 0",
    `a=group:BUNDLE ${bundled.join(" ")}`,
    "a=msid-semantic: WMS *",
  ];
  for (const section of sections) {
    if (section.media === "application") writeData(lines, section);
    else writeMedia(lines, section);
  }
  return `${lines.join("\r\n")}\r\n`;
}

function writeMedia(lines: string[], section: SdpSection): void {
  const ids = section.payloads.map((p) => p.id);
  lines.push(`m=${section.media} ${section.rejected ? 0 : 9} UDP/TLS/RTP/SAVPF ${ids.join(" ")}`);
  lines.push("c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0");
  writeTransportLines(lines, section.transport);
  lines.push(`a=mid:${section.mid}`, `a=${section.direction}`, "a=rtcp-mux");
  if (section.allowMixed) lines.push("a=extmap-allow-mixed");
  for (const extension of section.extensions) lines.push(`a=extmap:${extension.id} ${extension.uri}`);
  for (const payload of section.payloads) writePayloadLines(lines, payload);
  const rids = section.rids ?? [];
  for (const rid of rids) lines.push(`a=rid:${rid} recv`);
  if (rids.length > 0) lines.push(`a=simulcast:recv ${rids.join(";")}`);
  for (const group of section.groups) lines.push(`a=ssrc-group:${group.semantics} ${group.ssrcs.join(" ")}`);
  for (const source of section.sources) {
    // A name of the other side must not be able to add lines of its own.
    const msid = source.msid.replace(/[\r\n]/g, "");
    lines.push(`a=ssrc:${source.ssrc} cname:remote`);
    if (msid !== "") lines.push(`a=ssrc:${source.ssrc} msid:${msid}`);
  }
}

function writeData(lines: string[], section: SdpSection): void {
  lines.push(
    `m=application ${section.rejected ? 0 : 9} UDP/DTLS/SCTP webrtc-datachannel`,
    "c=IN IP4 0.0.0.0",
  );
  writeTransportLines(lines, section.transport);
  lines.push(`a=mid:${section.mid}`);
  lines.push(`a=sctp-port:${section.transport.sctpPort ?? 5000}`, "a=max-message-size:262144");
  const { sctpInit } = section.transport;
  if (sctpInit !== undefined) lines.push(`a=sctp-init:${clean(sctpInit)}`);
}

function writeTransportLines(lines: string[], transport: Transport): void {
  lines.push(`a=ice-ufrag:${clean(transport.ufrag)}`, `a=ice-pwd:${clean(transport.pwd)}`);
  // Chromium's name of the draft's version is beside the draft's own.
  lines.push(`a=ice-options:trickle${transport.sped ? " sped googspedv1" : ""}`);
  for (const fingerprint of transport.fingerprints) {
    lines.push(`a=fingerprint:${clean(fingerprint.hash)} ${clean(fingerprint.value)}`);
  }
  const setup = transport.fingerprints[0]?.setup;
  if (setup) lines.push(`a=setup:${clean(setup)}`);
  for (const candidate of transport.candidates) lines.push(`a=${candidateLine(candidate)}`);
}

function clean(value: string): string {
  return value.replace(/\s/g, "");
}

/** The text of a candidate as ICE writes it, without `a=`. */
export function candidateLine(c: Candidate): string {
  let line = `candidate:${c.foundation} ${c.component} ${c.protocol} ${c.priority} ${c.ip} ${c.port} typ ${c.type}`;
  if (c.relAddr !== undefined && c.relPort !== undefined) line += ` raddr ${c.relAddr} rport ${c.relPort}`;
  if (c.tcpType !== undefined) line += ` tcptype ${c.tcpType}`;
  return `${line} generation ${c.generation}`.replace(/[\r\n]/g, "");
}

function writePayloadLines(lines: string[], payload: PayloadType): void {
  const channels = payload.channels > 1 ? `/${payload.channels}` : "";
  lines.push(`a=rtpmap:${payload.id} ${payload.name}/${payload.clockrate}${channels}`);
  const parameters = payload.parameters
    .map((p) => (p.name === "" ? p.value : `${p.name}=${p.value}`))
    .join(";");
  if (parameters !== "") lines.push(`a=fmtp:${payload.id} ${parameters}`.replace(/[\r\n]/g, ""));
  for (const f of payload.feedback) {
    lines.push(`a=rtcp-fb:${payload.id} ${f.type}${f.subtype === undefined ? "" : ` ${f.subtype}`}`);
  }
}

// --- reading ----------------------------------------------------------------------------------

const EMPTY_TRANSPORT: Transport = {
  ufrag: "",
  pwd: "",
  fingerprints: [],
  candidates: [],
  webSocketUrls: [],
};

/** Reads a description made by the browser. */
export function readSdp(sdp: string): SdpSection[] {
  const blocks = sdp.split(/^m=/m);
  const session = attributes(blocks[0] ?? "");
  return blocks.slice(1).map((block) => readSection(block, session));
}

function attributes(block: string): [string, string][] {
  const found: [string, string][] = [];
  for (const line of block.split(/\r?\n/)) {
    if (!line.startsWith("a=")) continue;
    const colon = line.indexOf(":");
    found.push(colon < 0 ? [line.slice(2), ""] : [line.slice(2, colon), line.slice(colon + 1)]);
  }
  return found;
}

function readSection(block: string, session: readonly [string, string][]): SdpSection {
  const header = (block.split(/\r?\n/, 1)[0] ?? "").split(" ");
  const attrs = attributes(block);
  const all = (key: string): string[] => attrs.filter(([k]) => k === key).map(([, v]) => v);
  const one = (key: string): string | undefined =>
    attrs.find(([k]) => k === key)?.[1] ?? session.find(([k]) => k === key)?.[1];
  const stated = header[0] ?? "";
  const media: ContentMedia = stated === "audio" || stated === "video" ? stated : "application";
  const directions: readonly Direction[] = ["sendrecv", "sendonly", "recvonly", "inactive"];
  return {
    mid: one("mid") ?? "",
    media,
    direction: directions.find((d) => attrs.some(([k]) => k === d)) ?? "sendrecv",
    rejected: header[1] === "0",
    payloads: media === "application" ? [] : header.slice(3).flatMap((id) => readPayload(Number(id), all)),
    extensions: all("extmap").flatMap(readExtension),
    allowMixed:
      attrs.some(([k]) => k === "extmap-allow-mixed") || session.some(([k]) => k === "extmap-allow-mixed"),
    transport: readTransport(one, all),
    sources: readSources(all("ssrc"), all("msid")[0] ?? ""),
    groups: all("ssrc-group").map((value) => {
      const [semantics = "", ...ssrcs] = value.split(" ");
      return { semantics, ssrcs: ssrcs.map(Number) };
    }),
  };
}

function readPayload(id: number, all: (key: string) => string[]): PayloadType[] {
  const own = (key: string): string[] => {
    const prefix = `${id} `;
    return all(key)
      .filter((v) => v.startsWith(prefix))
      .map((v) => v.slice(prefix.length));
  };
  const map = own("rtpmap")[0];
  if (map === undefined) return [];
  const [name = "", clockrate = "", channels = "1"] = map.split("/");
  const parameters = own("fmtp").flatMap((value) =>
    value.split(";").flatMap((part) => {
      const trimmed = part.trim();
      if (trimmed === "") return [];
      const equals = trimmed.indexOf("=");
      return equals < 0
        ? [{ name: "", value: trimmed }]
        : [{ name: trimmed.slice(0, equals), value: trimmed.slice(equals + 1) }];
    }),
  );
  const feedback: Feedback[] = own("rtcp-fb").map((value) => {
    const [type = "", subtype] = value.split(" ");
    return { type, ...(subtype !== undefined && { subtype }) };
  });
  return [{ id, name, clockrate: Number(clockrate), channels: Number(channels), parameters, feedback }];
}

function readExtension(value: string): HeaderExtension[] {
  const match = /^(\d+)(?:\/\S+)? (\S+)/.exec(value);
  return match?.[2] === undefined ? [] : [{ id: Number(match[1]), uri: match[2] }];
}

function readTransport(one: (key: string) => string | undefined, all: (key: string) => string[]): Transport {
  const fingerprint = one("fingerprint");
  const [hash = "", value = ""] = (fingerprint ?? "").split(" ");
  const sctp = one("sctp-port");
  const init = one("sctp-init");
  return {
    ...EMPTY_TRANSPORT,
    ufrag: one("ice-ufrag") ?? "",
    pwd: one("ice-pwd") ?? "",
    fingerprints: fingerprint === undefined ? [] : [{ hash, value, setup: one("setup") ?? "" }],
    candidates: all("candidate").flatMap((c) => readCandidate(`candidate:${c}`)),
    ...(sctp !== undefined && { sctpPort: Number(sctp) }),
    ...(init !== undefined && { sctpInit: init }),
  };
}

/** Reads a candidate as the browser writes it, with or without `a=`. */
export function readCandidate(line: string): Candidate[] {
  const parts = line
    .replace(/^a=/, "")
    .replace(/^candidate:/, "")
    .trim()
    .split(/\s+/);
  const [foundation, component, protocol, priority, ip, port, typ, type] = parts;
  if (typ !== "typ" || foundation === undefined || component === undefined || protocol === undefined)
    return [];
  if (priority === undefined || ip === undefined || port === undefined || type === undefined) return [];
  const extra = new Map<string, string>();
  for (let i = 8; i + 1 < parts.length; i += 2) extra.set(parts[i] ?? "", parts[i + 1] ?? "");
  const relAddr = extra.get("raddr");
  const relPort = extra.get("rport");
  const tcpType = extra.get("tcptype");
  return [
    {
      foundation,
      component,
      protocol: protocol.toLowerCase(),
      priority,
      ip,
      port,
      type,
      generation: extra.get("generation") ?? "0",
      ...(relAddr !== undefined && { relAddr }),
      ...(relPort !== undefined && { relPort }),
      ...(tcpType !== undefined && { tcpType }),
    },
  ];
}

function readSources(lines: readonly string[], sectionMsid: string): SdpSource[] {
  const found = new Map<number, string>();
  for (const line of lines) {
    const match = /^(\d+) ([^:]+)(?::(.*))?$/.exec(line);
    if (match === null) continue;
    const ssrc = Number(match[1]);
    const known = found.get(ssrc) ?? sectionMsid;
    found.set(ssrc, match[2] === "msid" ? (match[3] ?? known) : known);
  }
  return [...found].map(([ssrc, msid]) => ({ ssrc, msid }));
}

// --- simulcast --------------------------------------------------------------------------------

/** SSRCs of the layers of one source, lowest first, each with the SSRC of its retransmissions. */
export type LayerSsrcs = readonly { readonly media: number; readonly rtx: number | undefined }[];

/**
 * Turns the single video source of m-line `mid` into three simulcast layers, told apart by SSRC. The first
 * layer keeps the SSRCs the browser chose; `layers` repeats those of an earlier description.
 */
export function addSimulcast(
  sdp: string,
  mid: string,
  count: number,
  newSsrc: () => number,
  layers?: LayerSsrcs,
): { sdp: string; layers: LayerSsrcs } {
  const section = readSdp(sdp).find((s) => s.mid === mid);
  const first = section?.sources[0];
  if (section === undefined || first === undefined) return { sdp, layers: layers ?? [] };
  const existing = section.groups.find((g) => g.semantics === "SIM");
  if (existing !== undefined) return { sdp, layers: layersOf(section) };
  const chosen = layers ?? chooseLayers(section, count, newSsrc);
  const cname = new RegExp(`^a=ssrc:${first.ssrc} cname:(.*?)\\r?$`, "m").exec(sdp)?.[1] ?? "pontoon";
  const msid = first.msid === "" ? undefined : first.msid;
  const lines: string[] = [];
  for (const layer of chosen) {
    for (const ssrc of [layer.media, layer.rtx]) {
      if (ssrc === undefined) continue;
      lines.push(`a=ssrc:${ssrc} cname:${cname}`);
      if (msid !== undefined) lines.push(`a=ssrc:${ssrc} msid:${msid}`);
    }
  }
  lines.push(`a=ssrc-group:SIM ${chosen.map((l) => l.media).join(" ")}`);
  for (const layer of chosen) {
    if (layer.rtx !== undefined) lines.push(`a=ssrc-group:FID ${layer.media} ${layer.rtx}`);
  }
  return { sdp: replaceSsrcLines(sdp, mid, lines), layers: chosen };
}

/**
 * A browser that names its layers (RFC 8853) lists their SSRCs, lowest layer first, but does not say that they are layers of
 * one picture: here is the same with the group that tells the others so.
 */
export function withSimulcastGroup(section: SdpSection): SdpSection {
  if (section.groups.some((g) => g.semantics === "SIM")) return section;
  const rtx = new Set(section.groups.filter((g) => g.semantics === "FID").map((g) => g.ssrcs[1]));
  const layers = section.sources.map((s) => s.ssrc).filter((ssrc) => !rtx.has(ssrc));
  if (section.media !== "video" || layers.length < 2) return section;
  return { ...section, groups: [{ semantics: "SIM", ssrcs: layers }, ...section.groups] };
}

/** The layers a section already has, or its single source as one layer. */
export function layersOf(section: SdpSection): LayerSsrcs {
  const rtxOf = (ssrc: number): number | undefined =>
    section.groups.find((g) => g.semantics === "FID" && g.ssrcs[0] === ssrc)?.ssrcs[1];
  const sim = section.groups.find((g) => g.semantics === "SIM")?.ssrcs;
  const first = section.sources[0]?.ssrc;
  const media = sim ?? (first === undefined ? [] : [first]);
  return media.map((ssrc) => ({ media: ssrc, rtx: rtxOf(ssrc) }));
}

function chooseLayers(section: SdpSection, count: number, newSsrc: () => number): LayerSsrcs {
  const [first] = layersOf(section);
  if (first === undefined) return [];
  const layers = [first];
  while (layers.length < count) {
    layers.push({ media: newSsrc(), rtx: first.rtx === undefined ? undefined : newSsrc() });
  }
  return layers;
}

function replaceSsrcLines(sdp: string, mid: string, lines: readonly string[]): string {
  const parts = sdp.split(/^(?=m=)/m);
  return parts
    .map((part) => {
      if (!part.startsWith("m=") || !new RegExp(`^a=mid:${mid}\\r?$`, "m").test(part)) return part;
      const kept = part.split(/\r?\n/).filter((l) => l !== "" && !/^a=ssrc(-group)?:/.test(l));
      return `${[...kept, ...lines].join("\r\n")}\r\n`;
    })
    .join("");
}

/** The content that says what a local section sends, for `session-accept` and `session-initiate`. */
export function contentOf(section: SdpSection, name: string, sources: Content["sources"]): Content {
  return {
    name,
    media: section.media,
    senders: section.rejected ? "rejected" : "both",
    payloads: section.payloads,
    extensions: section.extensions,
    allowMixed: section.allowMixed,
    sources,
    groups: sources.length === 0 ? [] : section.groups,
    transport: section.transport,
    frameHeights: new Map(),
  };
}
