// Which names are rooms, and what an address or a line of text means. The server has the same rule
// (crates/stanza/src/jitsi/room.rs); the examples of its tests hold for both.

/** Characters that are left out of a room's name: they have a meaning in addresses. */
const LEFT_OUT = /[:?#[\]@!$&'()*+,;=></"]/g;

/** Longest name as it stands in the room's address, in bytes. */
const MAX_NAME = 1023;

/** First path segments that are the server's own. */
const RESERVED: ReadonlySet<string> = new Set([
  ".",
  "..",
  "_unlock",
  "config.js",
  "external_api.js",
  "favicon.ico",
  "http-bind",
  "index.html",
  "interface_config.js",
  "robots.txt",
  "xmpp-websocket",
]);

/** First path segments that are folders of files, so that no tenant can have their names. */
const FOLDERS: ReadonlySet<string> = new Set([
  "assets",
  "libs",
  "css",
  "static",
  "images",
  "fonts",
  "lang",
  "sounds",
  "colibri-ws",
  ".well-known",
]);

export type NameProblem = "empty" | "long" | "reserved" | "tenant" | "deep";

/** A room of this server, as its page's address says it. */
export interface RoomAddress {
  /** The path of its page, percent-encoded, with the tenant if there is one, without a slash at either end. */
  readonly path: string;
  /** As people read it. */
  readonly title: string;
  /** As it stands in the room's XMPP address. */
  readonly name: string;
}

export type Reading =
  | { readonly kind: "room"; readonly room: RoomAddress }
  | { readonly kind: "none" }
  | { readonly kind: "refused"; readonly problem: NameProblem; readonly title: string }
  /** A meeting on another server. */
  | { readonly kind: "elsewhere"; readonly host: string; readonly url: string };

/** The name a room has in its XMPP address: NFKC, lower case, percent-encoded, lower case again. */
export function roomName(title: string): { readonly name: string } | { readonly problem: NameProblem } {
  const kept = title.replace(LEFT_OUT, "").normalize("NFKC").toLowerCase();
  let name: string;
  try {
    name = encodeURIComponent(kept).toLowerCase();
  } catch {
    // Half of a surrogate pair.
    return { problem: "empty" };
  }
  if (name === "") return { problem: "empty" };
  if (name.length > MAX_NAME) return { problem: "long" };
  if (RESERVED.has(name)) return { problem: "reserved" };
  return { name };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    // A stray percent sign is taken literally.
    return segment;
  }
}

/** Whether a percent-encoded path segment can name a tenant. */
function isTenant(segment: string): boolean {
  return !/[/?&:'"=#]/.test(segment) && !FOLDERS.has(decode(segment)) && segment !== "." && segment !== "..";
}

/** What the path of a page means, for instance `/acme/standup`. Slashes at its ends and doubled ones do not count. */
export function readPath(pathname: string): Reading {
  const segments = pathname.split("/").filter((s) => s !== "");
  const last = segments.at(-1);
  if (last === undefined) return { kind: "none" };
  const title = decode(last);
  const refused = (problem: NameProblem): Reading => ({ kind: "refused", problem, title });
  if (segments.length > 2) return refused("deep");
  const [tenant] = segments.slice(0, -1);
  if (tenant !== undefined && !isTenant(tenant)) return refused("tenant");
  const found = roomName(title);
  if ("problem" in found) return refused(found.problem);
  return { kind: "room", room: { path: segments.join("/"), title, name: found.name } };
}

/** A first segment that reads like the name of another machine: has a dot and ends like a domain, or names a port. */
const HOST = /^(?:[\p{L}\d](?:[\p{L}\d-]*[\p{L}\d])?\.)+\p{L}{2,}(?::\d+)?$|^[\p{L}\d.-]+:\d+$|^localhost$/u;

/**
 * What somebody typed or pasted: a name, `tenant/name`, or the link of a meeting here or elsewhere.
 *
 * @param host of this page, with its port
 */
export function readTyped(typed: string, host: string): Reading {
  const text = typed.trim();
  const link = /^(?:https?:)?\/\//i.test(text) ? text : withScheme(text);
  if (link !== undefined) return readLink(link, host);
  const segments = text
    .replace(/[?#].*$/, (rest) => (text.startsWith(rest) ? rest : ""))
    .split("/")
    .map((s) => s.trim().replace(/\s+/g, "-"))
    .filter((s) => s !== "");
  return readPath(segments.map(encodeTyped).join("/"));
}

/** `meet.example.org/standup` is a link whose scheme was left out. */
function withScheme(text: string): string | undefined {
  const slash = text.indexOf("/");
  return slash > 0 && HOST.test(text.slice(0, slash)) ? `https://${text}` : undefined;
}

function readLink(link: string, host: string): Reading {
  let url: URL;
  try {
    url = new URL(link.startsWith("//") ? `https:${link}` : link);
  } catch {
    return { kind: "refused", problem: "empty", title: link };
  }
  if (url.host === host) return readPath(url.pathname);
  return { kind: "elsewhere", host: url.host, url: url.href };
}

/** What was copied from an address bar is encoded already; a name that holds a percent sign is not. */
function encodeTyped(segment: string): string {
  const isEncoded = /%[\da-f]{2}/i.test(segment) && decode(segment) !== segment;
  try {
    return isEncoded ? segment : encodeURIComponent(segment);
  } catch {
    return "";
  }
}
