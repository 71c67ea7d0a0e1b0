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
} as const;
