// How the connections stand: to the server, to the bridge, to the one other person.

import type { ConferenceState } from "../protocol/conference";
import type { MediaState } from "../protocol/sessions";
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

export class Connectivity {
  readonly state: Value<ConnectivityState>;

  constructor(link: Link, notices: Notices) {
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
  }
}

/** What the connections mean to the user, in one word. */
export type Standing = "connecting" | "joining" | "reconnecting" | "interrupted" | "connected" | "ended";

export function standingOf({ connection, media }: ConnectivityState): Standing {
  if (connection === "idle") return "connecting";
  if (connection !== "joined") return connection;
  return media === "interrupted" ? "interrupted" : "connected";
}
