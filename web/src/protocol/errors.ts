// Everything that can go wrong in the protocol, as one type with a code the interface can explain.

import { child, children, text, type XmlElement } from "./xml";

export type ErrorCode =
  | "connection-failed"
  | "connection-lost"
  | "login-required"
  | "login-failed"
  | "conference-request-failed"
  | "authentication-required"
  | "not-live"
  | "password-required"
  | "room-full"
  | "not-allowed"
  | "members-only"
  | "waiting-for-host"
  | "name-required"
  | "join-failed"
  | "media-failed"
  | "not-supported"
  | "timeout"
  | "stanza";

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";

  constructor(
    readonly code: ErrorCode,
    /** The server's own words, if it gave any. */
    readonly detail = "",
    /** The stanza error condition, for `stanza` and join errors. */
    readonly condition = "",
    /** Address of the waiting room, for `members-only`. */
    readonly lobbyRoom = "",
  ) {
    super(detail === "" ? code : `${code}: ${detail}`);
  }
}

/** The condition and text of an error stanza. */
export function stanzaError(stanza: XmlElement): {
  condition: string;
  detail: string;
  error: XmlElement | undefined;
} {
  const error = child(stanza, "error");
  if (error === undefined) return { condition: "undefined-condition", detail: "", error };
  const detail = text(child(error, "text"));
  const condition = children(error).find((c) => c.name !== "text")?.name ?? "undefined-condition";
  return { condition, detail, error };
}
