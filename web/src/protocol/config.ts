// The deployment's `config` object, read into what this client uses, with overrides from the page address.

export interface MeetingConfig {
  readonly domain: string;
  readonly muc: string;
  readonly focus: string;
  readonly focusUserJid: string | undefined;
  readonly webSocketUrl: string;
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

/** Keys that must not come from a link: they say whom to trust. */
const NOT_OVERRIDABLE =
  /^config\.(hosts|websocket|bosh|conferenceRequestUrl|focusUserJid|bridgeChannel\.ignoreDomain)\b/;

/** Reads `#config.p2p.enabled=false&userInfo.displayName="Ann"` into nested objects. */
export function parseHash(hash: string): Raw {
  const root: Raw = {};
  for (const part of hash.replace(/^#/, "").split("&")) {
    const equals = part.indexOf("=");
    if (equals <= 0) continue;
    const path = decode(part.slice(0, equals));
    if (!/^(config|userInfo)(\.[A-Za-z0-9_]+)+$/.test(path) || NOT_OVERRIDABLE.test(path)) continue;
    const keys = path.split(".");
    if (keys.some((k) => k === "__proto__" || k === "constructor" || k === "prototype")) continue;
    assign(root, keys, parseValue(decode(part.slice(equals + 1))));
  }
  return root;
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

function assign(root: Raw, keys: readonly string[], value: unknown): void {
  let at = root;
  keys.forEach((key, index) => {
    if (index === keys.length - 1) {
      at[key] = value;
      return;
    }
    const next = at[key];
    const inner: Raw = isRaw(next) ? next : {};
    at[key] = inner;
    at = inner;
  });
}

function merge(base: unknown, over: unknown): unknown {
  if (!isRaw(base) || !isRaw(over)) return over === undefined ? base : over;
  const out: Raw = { ...base };
  for (const [key, value] of Object.entries(over)) out[key] = merge(base[key], value);
  return out;
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

const DEFAULT_CODECS = ["vp8", "vp9", "h264", "av1"];

/** @param raw the global `config`, or undefined if the script did not load */
export function readConfig(raw: unknown, page: PageAddress): MeetingConfig {
  const hash = parseHash(page.hash);
  const r = new Reader(merge(isRaw(raw) ? raw : {}, isRaw(hash["config"]) ? hash["config"] : {}) as Raw);
  const user = new Reader(isRaw(hash["userInfo"]) ? hash["userInfo"] : {});
  const domain = r.string("hosts.domain") ?? page.hostname;
  return {
    domain,
    muc: (r.string("hosts.muc") ?? `conference.${domain}`).toLowerCase(),
    focus: r.string("hosts.focus") ?? `focus.${domain}`,
    focusUserJid: r.string("focusUserJid"),
    webSocketUrl: absoluteSocket(r.string("websocket") ?? "/xmpp-websocket", page),
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
    lastN: r.number("channelLastN") ?? -1,
    codecs: codecsOf(r.at("videoQuality.codecPreferenceOrder")),
    p2pEnabled: r.flag("p2p.enabled", true),
    p2pStunServers: stunServers(r.at("p2p.stunServers")),
    p2pDelay: (r.number("p2p.backToP2PDelay") ?? 5) * 1000,
    useTurnUdp: r.flag("useTurnUdp", false),
    resolution: r.number("constraints.video.height.ideal") ?? r.number("resolution") ?? 720,
    prejoin: r.flag("prejoinConfig.enabled", r.flag("prejoinPageEnabled", true)),
    requireName: r.flag("requireDisplayName", false),
    startAudioMuted: r.number("startAudioMuted"),
    startVideoMuted: r.number("startVideoMuted"),
    startWithAudioMuted: r.flag("startWithAudioMuted", false),
    startWithVideoMuted: r.flag("startWithVideoMuted", false),
    region: r.string("deploymentInfo.userRegion"),
    displayName: user.string("displayName"),
    token: new URLSearchParams(page.search).get("jwt") ?? undefined,
  };
}

function absoluteSocket(url: string, page: PageAddress): string {
  if (/^wss?:/.test(url)) return url;
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  if (url.startsWith("//")) return `${scheme}${url}`;
  return `${scheme}//${page.host}${url.startsWith("/") ? "" : "/"}${url}`;
}

function codecsOf(value: unknown): string[] {
  const stated = Array.isArray(value) ? value.filter((c): c is string => typeof c === "string") : [];
  const lower = stated.map((c) => c.toLowerCase()).filter((c) => DEFAULT_CODECS.includes(c));
  return lower.length > 0 ? lower : DEFAULT_CODECS;
}

function stunServers(value: unknown): RTCIceServer[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((entry: unknown) =>
    isRaw(entry) && typeof entry["urls"] === "string" ? [{ urls: entry["urls"] }] : [],
  );
}
