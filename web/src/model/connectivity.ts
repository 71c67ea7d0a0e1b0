// How the connections stand: to the server, to the bridge, to the one other person.

import type { Clock, Timer } from "../protocol/clock";
import type { ConferenceState } from "../protocol/conference";
import type { MediaState } from "../protocol/sessions";
import { explainBlockage } from "./explain";
import type { Link } from "./link";
import type { Notices } from "./notices";
import { Value } from "./observable";
import { texts } from "./texts";

export interface ConnectivityState {
  readonly connection: ConferenceState;
  readonly media: MediaState;
  /** Whether media flows directly between two people. */
  readonly peer: boolean;
  readonly noBridge: boolean;
}

const KEY = "connection";
const BLOCKED = "media";
/** How long media may take to connect, milliseconds, before the user is told why it does not. */
const PATIENCE = 4_000;
const AGAIN = 500;

export class Connectivity {
  readonly state: Value<ConnectivityState>;
  private readonly link: Link;
  private readonly notices: Notices;
  private readonly clock: Clock;
  private patience: Timer | undefined;

  constructor(link: Link, notices: Notices, clock: Clock) {
    this.link = link;
    this.notices = notices;
    this.clock = clock;
    this.state = new Value<ConnectivityState>({
      connection: link.conference.state,
      media: "none",
      peer: false,
      noBridge: false,
    });
    link.on("state", (connection) => {
      const before = this.state.get().connection;
      this.change({ connection });
      if (connection === "reconnecting") notices.show(texts.connectionLost, { key: KEY, important: true });
      else if (connection === "joined" && before === "reconnecting") notices.show(texts.back, { key: KEY });
    });
    link.on("media", (media) => this.change({ media }));
    link.on("peer", (peer) => this.change({ peer }));
    link.on("noBridge", (noBridge) => this.change({ noBridge }));
    link.onReset(() =>
      this.change({ connection: link.conference.state, media: "none", peer: false, noBridge: false }),
    );
  }

  private change(change: Partial<ConnectivityState>): void {
    this.state.update((s) => ({ ...s, ...change }));
    if (this.lacksMedia()) {
      this.patience ??= this.clock.setTimeout(() => void this.explain(), PATIENCE);
    } else if (this.patience !== undefined) {
      this.clock.clearTimeout(this.patience);
      this.patience = undefined;
      this.notices.withdraw(BLOCKED);
    }
  }

  /** Whether the server can be reached, and media is to flow and does not. */
  private lacksMedia(): boolean {
    const { connection, media } = this.state.get();
    return connection === "joined" && (media === "connecting" || media === "interrupted");
  }

  private async explain(): Promise<void> {
    const blockage = await this.link.conference.sessions?.blockage();
    if (!this.lacksMedia()) return;
    if (blockage === undefined) {
      // Between two sessions there is nothing to say; the next one may come at any time.
      this.patience = this.clock.setTimeout(() => void this.explain(), AGAIN);
      return;
    }
    this.notices.show(explainBlockage(blockage), { key: BLOCKED, important: true, sticky: true });
  }
}

/** What the connections mean to the user, in one word. */
export type Standing = "connecting" | "joining" | "reconnecting" | "interrupted" | "connected" | "ended";

export function standingOf({ connection, media }: ConnectivityState): Standing {
  if (connection === "idle") return "connecting";
  if (connection !== "joined") return connection;
  return media === "interrupted" ? "interrupted" : "connected";
}
