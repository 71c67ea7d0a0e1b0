// The deployment's `config` object, read into what this client uses, with the few things a link may change.

import { VIDEO_CODECS } from "./codec-choice";

export interface MeetingConfig {
  readonly domain: string;
  readonly muc: string;
  readonly focus: string;
  readonly focusUserJid: string | undefined;
  readonly webSocketUrl: string;
  /** Where the same is had over plain HTTP requests; undefined if nowhere. */
  readonly boshUrl: string | undefined;
  readonly conferenceRequestUrl: string | undefined;
  readonly hiddenDomain: string | undefined;
  readonly resume: boolean;
  readonly pipelinedLogin: boolean;
  readonly ping: { readonly interval: number; readonly timeout: number; readonly threshold: number };
  readonly preferSctp: boolean;
  readonly ignoreBridgeDomain: string | undefined;
  readonly ssrcRewriting: boolean;
  readonly iceRestart: boolean;
  readonly simulcast: boolean;
  readonly opusRed: boolean;
  readonly lastN: number;
  readonly codecs: readonly string[];
  readonly p2pEnabled: boolean;
  readonly p2pStunServers: readonly RTCIceServer[];
  readonly p2pDelay: number;
  readonly useTurnUdp: boolean;
  readonly resolution: number;
  readonly prejoin: boolean;
  readonly requireName: boolean;
  readonly startAudioMuted: number | undefined;
  readonly startVideoMuted: number | undefined;
  readonly startWithAudioMuted: boolean;
  readonly startWithVideoMuted: boolean;
  readonly region: string | undefined;
  readonly displayName: string | undefined;
  readonly token: string | undefined;
}

type Raw = Record<string, unknown>;

function isRaw(value: unknown): value is Raw {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Check = (value: unknown) => boolean;

const isTrue: Check = (v) => v === true;
const isFalse: Check = (v) => v === false;
const isText: Check = (v) => typeof v === "string" && v.trim() !== "";
const isFlag: Check = (v) => typeof v === "boolean";
const within =
  (from: number, to: number): Check =>
  (v) =>
    Number.isInteger(v) && Number(v) >= from && Number(v) <= to;

/**
 * All that a link may set, and to what: how much to send and receive, and what makes the client more reserved than
 * the deployment asks. Everything else says whom to trust or lets the page do what its operator does not want.
 */
const FROM_LINK: Readonly<Record<string, Check>> = {
  "config.resolution": within(90, 2160),
  "config.constraints.video.height.ideal": within(90, 2160),
  "config.channelLastN": within(-1, 1000),
  "config.p2p.enabled": isFalse,
  "config.requireDisplayName": isTrue,
  "config.startWithAudioMuted": isTrue,
  "config.startWithVideoMuted": isTrue,
  // Entering without a click needs the operator's leave besides, see `mayEnterAtOnce`.
  "config.prejoinConfig.enabled": isFlag,
  "config.prejoinPageEnabled": isFlag,
  "userInfo.displayName": isText,
};

const MAX_NAME = 80;
/** The characters of a token: three parts in base64url. What else stands there would become parameters of our own. */
const TOKEN = /^[\w-]+(?:\.[\w-]+){0,4}$/;

/** What a link sets, by its full key: `#config.resolution=360&userInfo.displayName="Ann"`. */
export function readLink(hash: string): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  for (const part of hash.replace(/^#/, "").split("&")) {
    const equals = part.indexOf("=");
    if (equals <= 0) continue;
    const key = decode(part.slice(0, equals));
    const value = parseValue(decode(part.slice(equals + 1)));
    if (Object.hasOwn(FROM_LINK, key) && FROM_LINK[key]?.(value)) found.set(key, value);
  }
  return found;
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function parseValue(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

class Reader {
  private readonly raw: Raw;

  constructor(raw: Raw) {
    this.raw = raw;
  }

  at(path: string): unknown {
    let value: unknown = this.raw;
    for (const key of path.split(".")) value = isRaw(value) ? value[key] : undefined;
    return value;
  }

  string(path: string): string | undefined {
    const value = this.at(path);
    return typeof value === "string" && value !== "" ? value : undefined;
  }

  number(path: string): number | undefined {
    const value = this.at(path);
    return typeof value === "number" && Number.isFinite(value) ? value : undefined;
  }

  strings(path: string): string[] {
    const value = this.at(path);
    return Array.isArray(value) ? value.filter((v): v is string => typeof v === "string") : [];
  }

  flag(path: string, fallback: boolean): boolean {
    const value = this.at(path);
    return typeof value === "boolean" ? value : fallback;
  }
}

export interface PageAddress {
  readonly protocol: string;
  readonly host: string;
  readonly hostname: string;
  readonly hash: string;
  readonly search: string;
}

/** Which page ours came from, or is shown in. */
export interface Embedder {
  readonly framed: boolean;
  /** Origins of the pages around ours, the nearest first; undefined where the browser does not tell. */
  readonly ancestors: readonly string[] | undefined;
  /** Address of the page that led here; empty if it is not told. */
  readonly referrer: string;
}

const ALONE: Embedder = { framed: false, ancestors: undefined, referrer: "" };

/** Whether a link may lead into the meeting without a click: where it comes from pages the operator named. */
function mayEnterAtOnce(allowed: readonly string[], own: string, embedder: Embedder): boolean {
  const { framed, ancestors, referrer } = embedder;
  if (framed && ancestors !== undefined && ancestors.length > 0) {
    return (
      ancestors.some((origin) => allowed.includes(origin)) &&
      ancestors.every((origin) => origin === own || allowed.includes(origin))
    );
  }
  try {
    return allowed.includes(new URL(referrer).origin);
  } catch {
    return false;
  }
}

/** @param raw the global `config`, or undefined if the script did not load */
export function readConfig(raw: unknown, page: PageAddress, embedder: Embedder = ALONE): MeetingConfig {
  const r = new Reader(isRaw(raw) ? raw : {});
  const link = readLink(page.hash);
  const linked = (key: string): number | undefined => link.get(`config.${key}`) as number | undefined;
  const domain = r.string("hosts.domain") ?? page.hostname;
  return {
    domain,
    muc: (r.string("hosts.muc") ?? `conference.${domain}`).toLowerCase(),
    focus: r.string("hosts.focus") ?? `focus.${domain}`,
    focusUserJid: r.string("focusUserJid"),
    webSocketUrl: absoluteSocket(r.string("websocket") ?? "/xmpp-websocket", page),
    boshUrl: r.string("bosh"),
    conferenceRequestUrl: r.string("conferenceRequestUrl"),
    hiddenDomain: r.string("hiddenDomain"),
    resume: r.flag("enableWebsocketResume", true),
    pipelinedLogin: r.flag("pontoon.pipelinedLogin", false),
    ping: {
      interval: r.number("xmppPing.interval") ?? 10_000,
      timeout: r.number("xmppPing.timeout") ?? 5_000,
      threshold: r.number("xmppPing.threshold") ?? 2,
    },
    preferSctp: r.flag("bridgeChannel.preferSctp", true),
    ignoreBridgeDomain: r.string("bridgeChannel.ignoreDomain"),
    ssrcRewriting: r.flag("flags.ssrcRewritingEnabled", true),
    iceRestart: r.flag("enableIceRestart", true),
    simulcast: !r.flag("disableSimulcast", false),
    opusRed: r.flag("enableOpusRed", true),
    lastN: linked("channelLastN") ?? r.number("channelLastN") ?? -1,
    codecs: codecsOf(r.strings("videoQuality.codecPreferenceOrder")),
    p2pEnabled: r.flag("p2p.enabled", true) && !link.has("config.p2p.enabled"),
    p2pStunServers: stunServers(r.at("p2p.stunServers")),
    p2pDelay: (r.number("p2p.backToP2PDelay") ?? 5) * 1000,
    useTurnUdp: r.flag("useTurnUdp", false),
    resolution:
      linked("constraints.video.height.ideal") ??
      linked("resolution") ??
      r.number("constraints.video.height.ideal") ??
      r.number("resolution") ??
      720,
    prejoin: prejoin(r, link, page, embedder),
    requireName: r.flag("requireDisplayName", false) || link.has("config.requireDisplayName"),
    startAudioMuted: r.number("startAudioMuted"),
    startVideoMuted: r.number("startVideoMuted"),
    startWithAudioMuted: r.flag("startWithAudioMuted", false) || link.has("config.startWithAudioMuted"),
    startWithVideoMuted: r.flag("startWithVideoMuted", false) || link.has("config.startWithVideoMuted"),
    region: r.string("deploymentInfo.userRegion"),
    displayName: (link.get("userInfo.displayName") as string | undefined)?.trim().slice(0, MAX_NAME),
    token: token(page.search),
  };
}

function prejoin(
  r: Reader,
  link: ReadonlyMap<string, unknown>,
  page: PageAddress,
  embedder: Embedder,
): boolean {
  const ofOperator = r.flag("prejoinConfig.enabled", r.flag("prejoinPageEnabled", true));
  const asked = link.get("config.prejoinConfig.enabled") ?? link.get("config.prejoinPageEnabled");
  if (typeof asked !== "boolean" || asked === ofOperator) return ofOperator;
  const origin = `${page.protocol}//${page.host}`;
  return asked || !mayEnterAtOnce(r.strings("embedOrigins"), origin, embedder);
}

function token(search: string): string | undefined {
  const jwt = new URLSearchParams(search).get("jwt") ?? "";
  return TOKEN.test(jwt) ? jwt : undefined;
}

function absoluteSocket(url: string, page: PageAddress): string {
  if (/^wss?:/.test(url)) return url;
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  if (url.startsWith("//")) return `${scheme}${url}`;
  return `${scheme}//${page.host}${url.startsWith("/") ? "" : "/"}${url}`;
}

function codecsOf(stated: readonly string[]): readonly string[] {
  const lower = stated.map((c) => c.toLowerCase()).filter((c) => VIDEO_CODECS.includes(c));
  return lower.length > 0 ? lower : VIDEO_CODECS;
}

function stunServers(value: unknown): RTCIceServer[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: unknown) =>
    isRaw(entry) && typeof entry["urls"] === "string" ? [{ urls: entry["urls"] }] : [],
  );
}
