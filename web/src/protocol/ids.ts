// Random identifiers and JID parts.

/** Random lower-case hexadecimal digits. */
export function randomHex(digits: number): string {
  const bytes = new Uint8Array(Math.ceil(digits / 2));
  crypto.getRandomValues(bytes);
  let out = "";
  for (const byte of bytes) out += byte.toString(16).padStart(2, "0");
  return out.slice(0, digits);
}

/** The part before the resource. */
export function bareJid(jid: string): string {
  const slash = jid.indexOf("/");
  return slash < 0 ? jid : jid.slice(0, slash);
}

/** The resource; empty if there is none. For a room occupant this is the endpoint id. */
export function resourceOf(jid: string): string {
  const slash = jid.indexOf("/");
  return slash < 0 ? "" : jid.slice(slash + 1);
}

/** The endpoint id a user gets: the first eight digits of an anonymous account, else random ones. */
export function endpointIdFor(jid: string): string {
  const first = jid.slice(0, 8).toLowerCase();
  return /^[0-9a-f]{8}$/.test(first) ? first : randomHex(8);
}
