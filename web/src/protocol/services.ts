// Small requests to the server: the conference request, relay servers, and the capabilities we answer with.

import { ProtocolError } from "./errors";
import { NS } from "./ns";
import { CAPS_NODE } from "./room";
import { StanzaProtocolError, type XmppStream } from "./stream";
import { child, children, el, type XmlElement } from "./xml";

// --- conference request -------------------------------------------------------------------------

export interface ConferenceRequest {
  readonly roomJid: string;
  readonly machineUid: string;
  readonly sessionId: string | undefined;
  readonly token: string | undefined;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
}

export interface ConferenceReply {
  readonly ready: boolean;
  readonly focusJid: string | undefined;
  readonly sessionId: string | undefined;
  readonly properties: Readonly<Record<string, string>>;
}

const CONFERENCE_TIMEOUT = 20_000;

/** Asks the focus, over XMPP, to make the meeting ready. */
export async function requestConference(
  stream: XmppStream,
  focus: string,
  request: ConferenceRequest,
): Promise<ConferenceReply> {
  const properties = Object.entries(request.properties).map(([name, value]) =>
    el("property", NS.focus, { name, value: String(value) }),
  );
  const payload = el(
    "conference",
    NS.focus,
    {
      room: request.roomJid,
      "machine-uid": request.machineUid,
      "session-id": request.sessionId,
      token: request.token,
    },
    properties,
  );
  let result: XmlElement;
  try {
    result = await stream.iq("set", focus, payload, CONFERENCE_TIMEOUT);
  } catch (error) {
    throw conferenceError(error);
  }
  const conference = child(result, "conference", NS.focus);
  if (conference === undefined) throw new ProtocolError("conference-request-failed");
  const found: Record<string, string> = {};
  for (const p of children(conference, "property")) found[p.attrs["name"] ?? ""] = p.attrs["value"] ?? "";
  return {
    ready: conference.attrs["ready"] === "true",
    focusJid: conference.attrs["focusjid"],
    sessionId: conference.attrs["session-id"],
    properties: found,
  };
}

function conferenceError(error: unknown): unknown {
  if (!(error instanceof StanzaProtocolError)) return error;
  const inner = child(error.stanza, "error");
  const has = (name: string): boolean => inner !== undefined && child(inner, name) !== undefined;
  if (has("session-invalid") || has("not-acceptable"))
    return new ProtocolError("stanza", error.detail, "session-invalid");
  if (has("not-authorized")) return new ProtocolError("authentication-required", error.detail);
  return new ProtocolError("conference-request-failed", error.detail, error.condition);
}

/** Asks the focus over HTTP, which needs no XMPP connection yet. */
export async function requestConferenceByHttp(
  url: string,
  roomName: string,
  request: ConferenceRequest,
): Promise<ConferenceReply> {
  const address = new URL(url, globalThis.location?.href);
  address.searchParams.set("room", roomName);
  let response: Response;
  try {
    response = await fetch(address, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        ...(request.token !== undefined && { Authorization: `Bearer ${request.token}` }),
      },
      body: JSON.stringify({
        room: request.roomJid,
        machineUid: request.machineUid,
        ...(request.sessionId !== undefined && { sessionId: request.sessionId }),
        properties: request.properties,
      }),
    });
  } catch {
    throw new ProtocolError("conference-request-failed", "", "unreachable");
  }
  if (response.status === 403) throw new ProtocolError("authentication-required");
  if (!response.ok) {
    const body = await response.text().catch(() => "");
    const invalid = response.status === 400 && body.includes("invalid-session");
    throw invalid
      ? new ProtocolError("stanza", "", "session-invalid")
      : new ProtocolError("conference-request-failed", wordsOf(response, body), String(response.status));
  }
  const value = (await response.json()) as Record<string, unknown>;
  const text = (key: string): string | undefined => (typeof value[key] === "string" ? value[key] : undefined);
  const properties: Record<string, string> = {};
  for (const [key, v] of Object.entries(value["properties"] ?? {})) properties[key] = String(v);
  return {
    ready: value["ready"] === true,
    focusJid: text("focusJid"),
    sessionId: text("sessionId"),
    properties,
  };
}

const MAX_WORDS = 300;

/** What the server says about a refusal: its plain text; pages of proxies in between are no words for people. */
function wordsOf(response: Response, body: string): string {
  if (response.headers.get("Content-Type")?.startsWith("text/plain") !== true) return "";
  return body
    .replace(/^Bad request:/, "")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, MAX_WORDS);
}

// --- relay servers ------------------------------------------------------------------------------

/** STUN and TURN servers of the deployment (XEP-0215); none if it has no such service. */
export async function requestIceServers(stream: XmppStream, domain: string): Promise<RTCIceServer[]> {
  let result: XmlElement;
  try {
    result = await stream.iq("get", domain, el("services", NS.extdisco));
  } catch {
    return [];
  }
  const services = child(result, "services", NS.extdisco);
  return services === undefined ? [] : children(services, "service").flatMap(iceServer);
}

function iceServer(service: XmlElement): RTCIceServer[] {
  const { type, host, port, transport, username, password } = service.attrs as Record<
    string,
    string | undefined
  >;
  if (type === undefined || host === undefined || !/^(stun|turn|turns)$/.test(type)) return [];
  const query =
    type === "stun" || transport === undefined || transport === "udp" ? "" : `?transport=${transport}`;
  const urls = `${type}:${host}${port === undefined ? "" : `:${port}`}${query}`;
  if (type === "stun") return [{ urls }];
  // A browser refuses a TURN server without credentials.
  if (username === undefined || password === undefined) return [];
  return [{ urls, username, credential: password }];
}

/** Those servers that help to reach a bridge: relays over TCP, unless UDP is wanted too. */
export function bridgeIceServers(servers: readonly RTCIceServer[], useUdp: boolean): RTCIceServer[] {
  return servers.filter((s) => {
    const url = String(s.urls);
    return url.startsWith("turn") && (useUdp || url.includes("transport=tcp"));
  });
}

// --- capabilities -------------------------------------------------------------------------------

export function featuresFor(options: { ssrcRewriting: boolean; opusRed: boolean }): string[] {
  const features = [
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/disco#info",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/receive-multiple-video-streams",
    "http://jitsi.org/remb",
    "http://jitsi.org/source-name",
    "http://jitsi.org/tcc",
    "urn:ietf:rfc:4588",
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:xmpp:jingle:transports:ice-udp:1",
  ];
  // A session beside another one needs the bridges to say what is what on each.
  if (options.ssrcRewriting) features.push("http://jitsi.org/ssrc-rewriting-1", NS.moves, NS.spares);
  if (options.opusRed) features.push("http://jitsi.org/opus-red");
  return features.sort();
}

/** Whether the browser sends layers only under names (RFC 8853): Firefox passes over SSRCs that are written into its description. */
export function namesLayers(): boolean {
  return typeof navigator !== "undefined" && navigator.userAgent.includes("Firefox/");
}

/** Whether the browser sends and plays redundant audio (RFC 2198). */
export function hasAudioRed(): boolean {
  const known = (side: { getCapabilities(kind: string): RTCRtpCapabilities | null } | undefined): boolean =>
    side?.getCapabilities("audio")?.codecs.some((c) => c.mimeType.toLowerCase() === "audio/red") ?? false;
  return known(globalThis.RTCRtpSender) && known(globalThis.RTCRtpReceiver);
}

/** The verification string of XEP-0115 for features without identities. */
export async function capsVersion(features: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(features.map((f) => `${f}<`).join(""));
  const digest = await crypto.subtle.digest("SHA-1", bytes);
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

/** Answers an IQ request that is not about media. */
export function answerRequest(request: XmlElement, features: readonly string[]): XmlElement {
  const { from, id } = request.attrs;
  const result = (payload?: XmlElement): XmlElement =>
    el("iq", NS.client, { type: "result", to: from, id }, payload);
  const query = child(request, "query", NS.discoInfo);
  if (request.attrs["type"] === "get" && query !== undefined) {
    const node = query.attrs["node"];
    const vars = features.map((v) => el("feature", NS.discoInfo, { var: v }));
    const known = node === undefined || node.startsWith(CAPS_NODE);
    return result(el("query", NS.discoInfo, { node }, known ? vars : undefined));
  }
  if (request.attrs["type"] === "get" && child(request, "ping", NS.ping) !== undefined) return result();
  return errorReply(request, "cancel", "service-unavailable");
}

export function errorReply(
  request: XmlElement,
  type: string,
  condition: string,
  extra?: XmlElement,
): XmlElement {
  const error = el("error", NS.client, { type }, el(condition, NS.stanzas), extra);
  return el("iq", NS.client, { type: "error", to: request.attrs["from"], id: request.attrs["id"] }, error);
}
