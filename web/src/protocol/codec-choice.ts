// Which video codec to send: one that everybody who is here can decode.

/** Names in lower case, as in presence, in the order in which they are tried when nothing else is asked for. */
export const VIDEO_CODECS: readonly string[] = ["vp8", "vp9", "h264", "av1"];

/**
 * All codecs, the one to send first: by how many of the others can decode it, then by preference. So a codec that
 * somebody cannot decode is sent only if there is none that everybody can.
 *
 * @param preferred by the deployment, lower case
 * @param others what each of them says to decode; an empty list says nothing (audio gateways have none)
 */
export function codecOrder(preferred: readonly string[], others: Iterable<readonly string[]>): string[] {
  const lists = [...others].filter((l) => l.length > 0).map((l) => new Set(l.map((c) => c.toLowerCase())));
  const decoders = (codec: string): number => lists.filter((l) => l.has(codec)).length;
  const all = [...new Set([...preferred, ...VIDEO_CODECS])];
  return all.sort((a, b) => decoders(b) - decoders(a));
}

/** What to say we can decode: all that the browser has, the preferred ones first. */
export function decodableCodecs(preferred: readonly string[], mimeTypes: readonly string[]): string[] {
  const known = new Set(mimeTypes.map((m) => m.toLowerCase().replace("video/", "")));
  return codecOrder(preferred, []).filter((c) => known.has(c));
}
