// Errors in plain sentences: what happened, and what the user can do.

import type { ProtocolError } from "../protocol/errors";

export interface Explanation {
  readonly title: string;
  readonly hint: string;
}

export function explain(error: ProtocolError): Explanation {
  const words = error.detail === "" ? "" : ` The server says: “${error.detail}”`;
  switch (error.code) {
    case "connection-failed":
      return {
        title: "The meeting server cannot be reached.",
        hint: "Check your internet connection and try again.",
      };
    case "connection-lost":
      return { title: "The connection was lost.", hint: "Try to join again." };
    case "login-required":
      return { title: "This server asks for a login.", hint: "Guests cannot join meetings here." };
    case "login-failed":
      return { title: "The server did not accept the login.", hint: `Ask for a new invitation.${words}` };
    case "conference-request-failed":
      return { title: "The meeting could not be started.", hint: `Try again in a moment.${words}` };
    case "authentication-required":
      return { title: "The meeting has not started yet.", hint: "You will join when the host arrives." };
    case "not-live":
      return { title: "The meeting is not open yet.", hint: "You will join when it opens." };
    case "password-required":
      return { title: "This meeting has a password.", hint: "Enter it to join." };
    case "room-full":
      return { title: "The meeting is full.", hint: "Try again when somebody has left." };
    case "not-allowed":
      return { title: "You are not allowed to join this meeting.", hint: words.trim() };
    case "members-only":
      return {
        title: "The host lets people in one by one.",
        hint: "Ask the host to let you in.",
      };
    case "waiting-for-host":
      return { title: "The host has not arrived yet.", hint: "Try again in a moment." };
    case "name-required":
      return { title: "This meeting asks for your name.", hint: "Enter it and join again." };
    case "not-supported":
      return { title: "This browser cannot take part in video meetings.", hint: "Use a current browser." };
    case "media-failed":
      return { title: "Sound and picture could not be connected.", hint: `Trying again.${words}` };
    case "timeout":
      return { title: "The server did not answer in time.", hint: "Try again." };
    case "join-failed":
    case "stanza":
      return { title: "Joining did not work.", hint: `Try again.${words}` };
  }
}

/** Why a device could not be used. */
export function explainDevice(device: "camera" | "microphone" | "screen", error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  const the = device === "screen" ? "Your screen" : `Your ${device}`;
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return `${the} may not be used. Allow it in the browser’s site settings.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${device} was found.`;
    case "NotReadableError":
    case "AbortError":
      return `${the} is in use by another program.`;
    default:
      return `${the} could not be started.`;
  }
}
