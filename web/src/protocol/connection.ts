// The way into a room and back into it, as one state machine. Pure: time, the network, the server and the user are
// events; what is to be done about them are effects, in order. Every state leads out: while the network is there, a
// state is final, or waits for a person, or has a request, an entrance or a timer under way that brings the next event.

export type Step =
  /** Nobody asked to join, or the user was refused and may ask again. */
  | "idle"
  /** To be begun as soon as there is a connection. */
  | "due"
  /** The focus was asked for the room. */
  | "asking"
  /** A timer runs until the next try. */
  | "waiting"
  /** The room was asked to let us in; a timer guards it. */
  | "entering"
  /** In the room. */
  | "in"
  /** In the waiting room, until somebody decides. */
  | "knocking"
  /** Left, put out for good, or refused for good. */
  | "over";

export interface Connection {
  /** Whether there is a session with the server now. */
  readonly online: boolean;
  readonly step: Step;
  /** Whether we have been in the room, so that this is a return. */
  readonly returning: boolean;
  /** Tries in a row that came to nothing. */
  readonly tries: number;
  /** Times in a row that we had to leave and enter again without media in between. */
  readonly rejoins: number;
  /** Changes with every step; an answer or timer of an earlier one is not heard. */
  readonly attempt: number;
}

export type ConnectionEvent =
  | { readonly type: "join" }
  | { readonly type: "knock" }
  /** There is a session with the server; unless `resumed`, it knows nothing of us. */
  | { readonly type: "online"; readonly resumed: boolean }
  | { readonly type: "offline" }
  /** The focus is ready for us. */
  | { readonly type: "ready"; readonly attempt: number }
  /** Not now, or not answered; `after` milliseconds if the time is known. */
  | { readonly type: "later"; readonly attempt: number; readonly after?: number }
  | { readonly type: "timer"; readonly attempt: number }
  | { readonly type: "entered" }
  /** Media flows. */
  | { readonly type: "settled" }
  /** Put out without a reason, or media that only a new stay can mend. */
  | { readonly type: "broken" }
  /** Refused in a way that only the user can change. */
  | { readonly type: "refused" }
  /** Left, kicked, ended, or the server will not have us. */
  | { readonly type: "over" };

export type Effect =
  /** Asks the focus for the room; answered by `ready`, `later`, `refused` or `over`. */
  | { readonly do: "ask" }
  /** Sends the join presence; answered by `entered`, `later`, `refused` or `over`. */
  | { readonly do: "enter" }
  /** Goes to the waiting room again, which the server has forgotten us in. */
  | { readonly do: "knock" }
  /** Tells the room that we go; the stay ends. */
  | { readonly do: "leave" }
  /** Forgets the room and its media: the server has, too. */
  | { readonly do: "forget" }
  /** Brings `timer` after this many milliseconds, instead of any timer that runs. */
  | { readonly do: "wait"; readonly ms: number };

export interface Transition {
  readonly next: Connection;
  readonly effects: readonly Effect[];
}

export const NOT_CONNECTED: Connection = {
  online: false,
  step: "idle",
  returning: false,
  tries: 0,
  rejoins: 0,
  attempt: 0,
};

/** A focus that does not answer in this time, milliseconds, is asked anew. */
export const ASK_TIMEOUT = 15_000;
/** So is a room that does not answer a join. */
export const ENTER_TIMEOUT = 10_000;
const FIRST_WAIT = 1_000;
const MAX_WAIT = 30_000;
/** Who comes back after a loss has people waiting. */
const MAX_RETURN_WAIT = 4_000;
const REJOIN_WAIT = 500;

/** Whether the user wants to be in the room and nobody has said no. */
export function isWanted({ step }: Connection): boolean {
  return step !== "idle" && step !== "over" && step !== "knocking";
}

export function transition(now: Connection, event: ConnectionEvent): Transition {
  switch (event.type) {
    case "join":
      return now.step === "idle" || now.step === "knocking" ? begin(now) : stay(now);
    case "knock":
      return now.step === "idle" || now.step === "knocking"
        ? move(now, { step: "knocking" }, { do: "knock" })
        : stay(now);
    case "online":
      return event.resumed ? onResumed({ ...now, online: true }) : onFresh({ ...now, online: true });
    case "offline":
      return stay({ ...now, online: false });
    case "ready":
      return event.attempt === now.attempt && now.step === "asking" ? onReady(now) : stay(now);
    case "later":
      return event.attempt === now.attempt && (now.step === "asking" || now.step === "entering")
        ? retry(now, event.after)
        : stay(now);
    case "timer":
      return event.attempt === now.attempt ? onTimer(now) : stay(now);
    case "entered":
      return now.step === "entering" ? move(now, { step: "in", tries: 0, returning: true }) : stay(now);
    case "settled":
      return stay(now.step === "in" ? { ...now, rejoins: 0 } : now);
    case "broken":
      return now.step === "in" || now.step === "entering" ? onBroken(now) : stay(now);
    case "refused":
      return isWanted(now) || now.step === "knocking"
        ? move(now, { step: "idle", returning: false, tries: 0, rejoins: 0 }, { do: "forget" })
        : stay(now);
    case "over":
      return now.step === "over" ? stay(now) : move(now, { step: "over" }, { do: "forget" });
  }
}

function stay(next: Connection): Transition {
  return { next, effects: [] };
}

function move(now: Connection, change: Partial<Connection>, ...effects: readonly Effect[]): Transition {
  return { next: { ...now, ...change, attempt: now.attempt + 1 }, effects };
}

/** Asks the focus, now or as soon as there is a connection; `first` is done before. */
function begin(now: Connection, ...first: readonly Effect[]): Transition {
  return now.online
    ? move(now, { step: "asking" }, ...first, { do: "ask" }, { do: "wait", ms: ASK_TIMEOUT })
    : move(now, { step: "due" }, ...first);
}

function onResumed(now: Connection): Transition {
  // Requests and presence of before are sent again by the stream; what waited need not wait longer.
  return now.step === "due" || (now.step === "waiting" && now.returning) ? begin(now) : stay(now);
}

function onFresh(now: Connection): Transition {
  if (now.step === "knocking") return move(now, {}, { do: "knock" });
  if (!isWanted(now)) return move(now, {}, { do: "forget" });
  return begin({ ...now, tries: 0 }, { do: "forget" });
}

function onReady(now: Connection): Transition {
  if (!now.online) return move(now, { step: "due" });
  return move(now, { step: "entering" }, { do: "enter" }, { do: "wait", ms: ENTER_TIMEOUT });
}

function retry(now: Connection, after: number | undefined): Transition {
  const tries = now.tries + 1;
  const limit = now.returning ? MAX_RETURN_WAIT : MAX_WAIT;
  const ms = after ?? Math.min(limit, FIRST_WAIT * 2 ** Math.min(now.tries, 10));
  const forget: readonly Effect[] = now.step === "entering" ? [{ do: "forget" }] : [];
  if (!now.online) return move(now, { step: "due", tries }, ...forget);
  return move(now, { step: "waiting", tries }, ...forget, { do: "wait", ms });
}

function onTimer(now: Connection): Transition {
  if (now.step === "waiting") return begin(now);
  if (now.step === "asking") return begin({ ...now, tries: now.tries + 1 });
  if (now.step !== "entering") return stay(now);
  // The join may have been lost, or its answer: what the room thinks of us is not known.
  return begin({ ...now, tries: now.tries + 1 }, { do: "leave" });
}

function onBroken(now: Connection): Transition {
  const rejoins = now.rejoins + 1;
  if (!now.online) return move(now, { step: "due", rejoins }, { do: "leave" });
  const ms = Math.min(MAX_WAIT, REJOIN_WAIT * 2 ** Math.min(now.rejoins, 10));
  return move(now, { step: "waiting", rejoins }, { do: "leave" }, { do: "wait", ms });
}

export type ConferenceState = "idle" | "connecting" | "joining" | "joined" | "reconnecting" | "ended";

/** What the state of the connection means to the outside. */
export function conferenceState({ online, step, returning }: Connection): ConferenceState {
  if (step === "over") return "ended";
  if (step === "idle" || step === "knocking") return "idle";
  if (step === "in" && online) return "joined";
  if (returning) return "reconnecting";
  return online ? "joining" : "connecting";
}
