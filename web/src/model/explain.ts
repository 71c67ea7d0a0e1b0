// Errors in plain sentences: what happened, and what the user can do.

import type { Blockage } from "../protocol/blockage";
import type { ErrorCode, ProtocolError } from "../protocol/errors";
import { texts } from "./texts";

export interface Explanation {
  readonly title: string;
  readonly hint: string;
  /** Nothing failed: somebody ended it. */
  readonly over?: boolean;
}

const t = texts.errors;

/** Title and hint, and whether the server's own words follow. */
const EXPLANATIONS: Readonly<Record<ErrorCode, readonly [title: string, hint: string, words?: "words"]>> = {
  "connection-failed": [t.unreachable, t.unreachableHint],
  "connection-lost": [t.lost, t.lostHint],
  "login-required": [t.loginRequired, t.loginRequiredHint],
  "login-failed": [t.loginFailed, t.loginFailedHint, "words"],
  "conference-request-failed": [t.notStarted, t.inAMoment, "words"],
  "authentication-required": [t.noHost, t.noHostHint],
  "not-live": [t.notLive, t.notLiveHint],
  "password-required": [t.password, t.passwordHint],
  "room-full": [t.full, t.fullHint],
  "not-allowed": [t.notAllowed, "", "words"],
  "members-only": [t.membersOnly, t.membersOnlyHint],
  "waiting-for-host": [t.waitingForHost, t.inAMoment],
  "name-required": [t.nameRequired, t.nameRequiredHint],
  "not-supported": [t.notSupported, t.notSupportedHint],
  "media-failed": [t.media, t.mediaHint, "words"],
  timeout: [t.timeout, t.tryAgain],
  "join-failed": [t.join, t.tryAgain, "words"],
  stanza: [t.join, t.tryAgain, "words"],
};

/** Refusals that stay the same however often one asks. */
const FOR_GOOD: ReadonlySet<string> = new Set([
  "400",
  "404",
  "413",
  "bad-request",
  "jid-malformed",
  "not-acceptable",
]);

export function explain(error: ProtocolError): Explanation {
  const [title, hint, words] = EXPLANATIONS[error.code];
  const said = words === undefined || error.detail === "" ? "" : t.serverSays(error.detail);
  const advice = FOR_GOOD.has(error.condition) && said !== "" ? "" : hint;
  return { title, hint: [advice, said].filter((part) => part !== "").join(" ") };
}

/** Most addresses named: a server may have many. */
const MAX_HOSTS = 3;

/** Why there is neither sound nor picture, and what to do. */
export function explainBlockage({ why, doors }: Blockage): string {
  const b = texts.blocked;
  const hosts = new Map<string, Set<string>>();
  for (const { protocol, port, host } of doors) {
    const key = `${protocol} ${port}`;
    hosts.set(key, (hosts.get(key) ?? new Set()).add(host));
  }
  const named = [...hosts].map(([key, names]) => {
    const [protocol = "", port = ""] = key.split(" ");
    return b.door(protocol, Number(port), [...names].slice(0, MAX_HOSTS));
  });
  const list = named.join(b.or);
  const [reason, hint] = {
    network: [b.network(list), b.networkHint(list)],
    browser: [b.browser, b.browserHint],
    server: [b.server, b.serverHint],
  }[why];
  return [b.what, reason, hint].join(" ");
}

/** Why one is out of the meeting although one did not leave. */
export function explainRemoval(kind: "kicked" | "ended", by: string, reason: string): Explanation {
  const given = reason.trim();
  const said = given === "" || given === texts.kickReason ? "" : texts.out.reason(given);
  if (kind === "ended") return { title: texts.meetingEnded, hint: said || texts.out.endedHint, over: true };
  const hint = [said, texts.out.kickedHint].filter((part) => part !== "").join(" ");
  return { title: texts.kicked(by), hint, over: true };
}

/**
 * Why a device could not be used, and what to do.
 *
 * @param framed whether another page shows ours, which may forbid it too
 */
export function explainDevice(
  device: "camera" | "microphone" | "screen" | "both",
  error: unknown,
  framed = globalThis.self !== globalThis.top,
): string {
  const { name, message } = error instanceof Error ? error : { name: "", message: "" };
  const d = texts.deviceErrors;
  const which = d.your[device];
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      // Chromium says so in words only.
      if (/by system/i.test(message)) return d.deniedBySystem(which);
      return framed ? d.deniedByPage(which) : d.denied(which);
    case "NotFoundError":
    case "OverconstrainedError":
      return d.none(device);
    case "NotReadableError":
    case "AbortError":
      return d.taken(which);
    default:
      return d.failed(which);
  }
}
