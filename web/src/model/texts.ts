// What the client says to people, in one place: a translation replaces this file.

function list(names: readonly string[]): string {
  return names.map((n) => `“${n}”`).join(" and ");
}

const kinds = { microphone: "microphone", camera: "camera", speaker: "speaker" } as const;

export const texts = {
  close: "Close",
  dismiss: "Dismiss",
  notices: "Notices",

  home: {
    title: "Meet face to face",
    lead: "Choose a name, share the link, and talk. No account, nothing to install.",
    name: "Name of the meeting",
    go: "Start or join",
    recent: "Recent meetings",
    problems: {
      empty: (name: string) => `“${name}” has no letter or digit that a meeting’s name can be made of.`,
      long: (_name: string) => "That name is too long. Choose a shorter one.",
      reserved: (name: string) => `“${name}” is an address of the server itself. Choose another name.`,
      tenant: (_name: string) => "What stands before the slash cannot be the name of a team here.",
      deep: (_name: string) => "A meeting’s name cannot have a slash in it.",
    },
    elsewhere: (host: string) => `That meeting is on another server, ${host}.`,
    openThere: "Open it there",
  },

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

  nameless: "Guest",

  // Pages.
  brandHome: "Pontoon, home",
  cannotMeet: "This browser cannot take part in video meetings. Please use a current browser.",
  cannotLoad: "The page did not load completely. Please reload it.",
  yourName: "Your name",
  prejoin: {
    picture: "Your picture",
    starting: "The camera is starting…",
    off: "Your camera is off",
    namePlaceholder: "How the others see you",
    join: "Join the meeting",
    without: "You can join all the same.",
  },
  out: {
    left: "You left the meeting.",
    again: "Join again",
    retry: "Try again",
    home: "Home",
    kickedHint: "If you think that was a mistake, ask the others before you come back.",
    endedHint: "It was ended for everybody.",
    reason: (reason: string) => `The reason given: “${reason}”.`,
  },

  // The bar and its menu.
  bar: {
    title: "Meeting controls",
    mute: "Mute microphone",
    unmute: "Unmute microphone",
    stopCamera: "Stop camera",
    startCamera: "Start camera",
    share: "Share your screen",
    stopSharing: "Stop sharing your screen",
    raiseHand: "Raise your hand",
    lowerHand: "Lower your hand",
    chat: (unread: number) => (unread > 0 ? `Chat, ${unread} unread` : "Chat"),
    stage: "Stage view",
    grid: "Grid view",
    more: "More",
    leave: "Leave the meeting",
    copyLink: "Copy the link",
    settings: "Devices and name",
    quality: "Picture quality",
    fullscreen: "Full screen",
    shortcuts: "Keyboard shortcuts",
    lock: "Set a password",
    changeLock: "Change or remove the password",
    doorOpen: "Let people in freely",
    doorKnock: "Let people in one by one",
  },
  linkCopied: "The link was copied.",
  linkIs: (link: string) => `The link is ${link}`,
  turnOnSound: "Turn on the sound",
  elapsed: "Time since the start",

  // Pictures.
  pictures: {
    title: "People in the meeting",
    more: (count: number) => `and ${count} more`,
    you: "You",
    screen: (name: string) => `${name}’s screen`,
    yourScreen: "Your screen",
    pictureOf: (title: string) => `Picture of ${title}`,
    muted: "muted",
    cameraOff: "camera off",
    handRaised: "hand raised",
    speaking: "speaking",
    troubled: "connection problems",
    handSign: "Hand raised",
    paused: "Picture paused to save bandwidth",
    pin: (title: string) => `Put ${title} on the stage`,
    unpin: (title: string) => `Take ${title} off the stage`,
  },

  // Dialogs.
  done: "Done",
  leave: "Leave",
  join: "Join",
  password: "Password",
  quality: {
    legend: "Receive pictures in at most this quality",
    low: "Low: saves data",
    medium: "Medium",
    high: "High",
  },
  lock: {
    title: "Password of this meeting",
    locked: "Whoever wants to come in has to enter the password.",
    open: "Whoever comes from now on has to enter the password. Those who are here stay.",
    newPassword: "New password",
    remove: "Remove the password",
    set: "Set password",
  },
  hasPassword: "This meeting has a password",
  passwordWrong: "That password is not right.",
  knock: {
    title: "The host lets people in one by one",
    waiting: "You asked to join. Please wait until somebody lets you in.",
    denied: "You were not let in.",
    ask: "Say who you are and ask to join.",
    again: "Ask again",
    button: "Ask to join",
  },

  // Panels.
  chat: {
    title: "Chat",
    close: "Close chat",
    messages: "Messages",
    none: "Nobody has written anything yet.",
    you: "You",
    toPrivately: (name: string) => ` to ${name}, privately`,
    toYou: " to you, privately",
    to: "To",
    message: "Message",
    placeholder: "Write a message",
    send: "Send",
  },
  roster: {
    title: (count: number) => `People (${count})`,
    close: "Close the list of people",
    list: "People",
    you: (name: string) => `${name} (you)`,
    moderator: "Moderator",
    handRaised: "Hand raised",
    muted: "Muted",
    micOn: "Microphone on",
    cameraOff: "Camera off",
    cameraOn: "Camera on",
    mute: (name: string) => `Mute ${name}`,
    stopCamera: (name: string) => `Stop the camera of ${name}`,
    promote: (name: string) => `Make ${name} a moderator`,
    write: (name: string) => `Write to ${name}`,
    remove: (name: string) => `Remove ${name}`,
    muteAll: "Mute everybody",
  },

  // Why something did not work.
  errors: {
    serverSays: (words: string) => `The server says: “${words}”`,
    unreachable: "The meeting server cannot be reached.",
    unreachableHint:
      "Check your internet connection and try again. If other pages open here, something in between blocks meetings: ask who runs this network.",
    lost: "The connection was lost.",
    lostHint: "Try to join again.",
    loginRequired: "This server asks for a login.",
    loginRequiredHint: "Guests cannot join meetings here.",
    loginFailed: "The server did not accept the login.",
    loginFailedHint: "Ask for a new invitation.",
    notStarted: "The meeting could not be started.",
    inAMoment: "Try again in a moment.",
    noHost: "The meeting has not started yet.",
    noHostHint: "You will join when the host arrives.",
    notLive: "The meeting is not open yet.",
    notLiveHint: "You will join when it opens.",
    password: "This meeting has a password.",
    passwordHint: "Enter it to join.",
    full: "The meeting is full.",
    fullHint: "Try again when somebody has left.",
    notAllowed: "You are not allowed to join this meeting.",
    membersOnly: "The host lets people in one by one.",
    membersOnlyHint: "Ask the host to let you in.",
    waitingForHost: "The host has not arrived yet.",
    nameRequired: "This meeting asks for your name.",
    nameRequiredHint: "Enter it and join again.",
    notSupported: "This browser cannot take part in video meetings.",
    notSupportedHint: "Use a current browser.",
    media: "Sound and picture could not be connected.",
    mediaHint: "Trying again.",
    timeout: "The server did not answer in time.",
    tryAgain: "Try again.",
    join: "Joining did not work.",
  },
  deviceErrors: {
    your: {
      camera: "Your camera",
      microphone: "Your microphone",
      screen: "Your screen",
      both: "Your microphone and camera",
    },
    denied: (which: string) =>
      `${which} may not be used. Allow it for this site: open the sign beside the address of the page, choose “Allow”, then switch it on here.`,
    deniedBySystem: (which: string) =>
      `${which} may not be used: the system does not let the browser use it. Allow it in the system’s privacy settings, then switch it on here.`,
    deniedByPage: (which: string) =>
      `${which} may not be used. Allow it for this site, or open the meeting in a window of its own: the page around it may forbid it.`,
    none: (device: string) => `No ${device} was found.`,
    taken: (which: string) => `Another program uses this: ${which.charAt(0).toLowerCase()}${which.slice(1)}.`,
    failed: (which: string) => `${which} could not be started.`,
  },

  // Keys.
  keys: {
    audio: "Mute or unmute your microphone",
    video: "Start or stop your camera",
    screen: "Share or stop sharing your screen",
    chat: "Open or close the chat",
    people: "Open or close the list of people",
    hand: "Raise or lower your hand",
    view: "Switch between grid and stage",
    strip: "Show or hide the strip of small pictures",
    fullscreen: "Full screen on or off",
    quality: "Choose the picture quality",
    space: "Space",
    talk: "Talk while held down",
    person: "Put a person on stage (0 is you)",
    help: "Show or hide these shortcuts",
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
  blocked: {
    what: "Sound and picture do not get through.",
    network: (doors: string) => `This network lets nothing pass to the media server (${doors}).`,
    networkHint: (doors: string) =>
      `Try another network, for example that of a phone, or switch off a VPN or firewall program. Whoever runs this network can allow ${doors}.`,
    browser: "This browser is not allowed to make the connection.",
    browserHint: "Switch off extensions that hide the address of this computer, or try another browser.",
    server: "The media server answers, but the connection is not made.",
    serverHint: "Load the page again. If that does not help, tell whoever runs this server.",
    door: (protocol: string, port: number, hosts: readonly string[]) =>
      `${protocol.toUpperCase()} port ${port} of ${hosts.join(" and ")}`,
    or: " or ",
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
