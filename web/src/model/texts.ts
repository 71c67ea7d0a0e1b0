// What the client says to people, in one place: a translation replaces this file.

function list(names: readonly string[]): string {
  return names.map((n) => `“${n}”`).join(" and ");
}

const kinds = { microphone: "microphone", camera: "camera", speaker: "speaker" } as const;

export const texts = {
  close: "Close",
  dismiss: "Dismiss",
  notices: "Notices",

  devices: {
    kinds,
    titles: { microphone: "Microphone", camera: "Camera", speaker: "Speaker" },
    none: "None found",
    system: "As the system chooses",
    use: "Use it",
    noMicrophoneHere: "This page may not use a microphone.",
    noCameraHere: "This page may not use a camera.",
    nameless: (kind: keyof typeof kinds, number: number) =>
      `${kind.charAt(0).toUpperCase()}${kind.slice(1)} ${number}`,
    replaced: (old: string, now: string) => `“${old}” was disconnected. “${now}” is used now.`,
    lost: (old: string) => `“${old}” was disconnected.`,
    lostForGood: (old: string, kind: "microphone" | "camera", why: string) =>
      `“${old}” was disconnected. ${why} ${
        kind === "microphone" ? "The others do not hear you." : "The others do not see you."
      }`,
    notUsed: (name: string, why: string) => `“${name}” cannot be used. ${why}`,
    speakerGone: (name: string) =>
      `“${name}” cannot be used any more. The sound goes where the system sends it.`,
    plugged: (names: readonly string[]) => `${list(names)} was plugged in.`,
    back: (names: readonly string[]) => `${list(names)} is back.`,
    used: (name: string) => `“${name}” was plugged in and is used now.`,
  },

  // In the room.
  joined: (name: string) => `${name} joined`,
  left: (name: string) => `${name} left`,
  wasRemoved: (name: string) => `${name} was removed`,
  handRaised: "You raised your hand",
  handLowered: "You lowered your hand",
  mutedInCrowd: "You start muted because many people are here.",
  mutedBy: (name: string, media: "audio" | "video" | "desktop") =>
    `${name} ${{ audio: "muted your microphone", video: "stopped your camera", desktop: "stopped your shared screen" }[media]}`,
  mayNotSend: (media: "audio" | "video" | "desktop") =>
    `You may not ${media === "audio" ? "speak" : "send video"} now.`,

  // The connections.
  connectionLost: "The connection was lost. Reconnecting…",
  back: "You are back.",
  standing: {
    connecting: "Connecting…",
    joining: "Joining…",
    reconnecting: "The connection was lost. Reconnecting…",
    interrupted: "Sound and picture are interrupted. Reconnecting…",
    connected: "",
    ended: "",
  },
  alone: "You are alone here",
  noBridge: "No media server is available. Waiting for one…",
  connectionProblems: "Connection problems",

  // Out again.
  kicked: (by: string) => `${by === "" ? "A moderator" : by} removed you from the meeting.`,
  meetingEnded: "The meeting was ended.",

  // Chat.
  said: (name: string, text: string, privately: boolean) =>
    `${name}${privately ? " (privately)" : ""}: ${text}`,
  everybody: "Everybody",
  privately: (name: string) => `${name} (privately)`,
  hasLeft: (name: string) => `${name} (has left)`,
  recipientLeft: (name: string) =>
    `${name} has left, so the message was not sent. Choose somebody else to send it to.`,
  notConnected: "You are not connected, so the message was not sent. It stays here.",
  notSent: (detail: string) =>
    detail === "" ? "The message could not be sent." : `The message could not be sent: ${detail}`,

  // Moderation.
  notAllowedTo: (what: string) => `The server did not let you ${what}.`,
  kickReason: "You have been removed.",
  kickPerson: "remove this person",
  mutePerson: "mute this person",
  makeModerator: "make this person a moderator",
  changePassword: "change the password",
  passwordSet: "The meeting has a password now.",
  passwordRemoved: "The password was removed.",
  turnLobbyOn: "turn the waiting room on",
  turnLobbyOff: "turn the waiting room off",
  turnAway: "turn this person away",
  settingsRestored: (what: { locked: boolean; lobby: boolean }) =>
    `The server had started anew. ${ofRoom(what)} set again.`,
  settingsLost: (what: { locked: boolean; lobby: boolean }) =>
    `The server started anew, and the meeting has lost this: ${ofRoom(what)
      .toLowerCase()
      .replace(/ (is|are)$/, "")}.`,

  // Who waits outside.
  knocking: (names: readonly string[]) => `${someOf(names)} ${names.length === 1 ? "asks" : "ask"} to join`,
  asksToJoin: "asks to join",
  askingToJoin: "Asking to join",
  letIn: "Let in",
  refuse: "Refuse",
  letAllIn: "Let all in",
  refuseAll: "Refuse all",
  seeKnockers: "See who",
  people: (count: number, knocking: number) =>
    knocking === 0 ? `People, ${count}` : `People, ${count}; ${knocking} asking to join`,
} as const;

const NAMES_SHOWN = 3;

/** Names in a sentence; of many, the first few and how many more. */
function someOf(names: readonly string[]): string {
  const shown = names.slice(0, names.length === NAMES_SHOWN + 1 ? NAMES_SHOWN + 1 : NAMES_SHOWN);
  const more = names.length - shown.length;
  const parts = more === 0 ? shown : [...shown, `${more} more`];
  return parts.length < 2
    ? parts.join("")
    : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1] ?? ""}`;
}

function ofRoom({ locked, lobby }: { locked: boolean; lobby: boolean }): string {
  if (locked && lobby) return "Password and waiting room are";
  return locked ? "The password is" : "The waiting room is";
}
