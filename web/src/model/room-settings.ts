// What holds for the room, as the room itself says. A moderator's client that comes back into a new room of the same
// name, as after a restart of the server, sets password and waiting room again.

import type { Clock, Timer } from "../protocol/clock";
import type { RoomConfig } from "../protocol/room";
import type { Link } from "./link";
import type { Notices } from "./notices";
import { Value } from "./observable";
import { texts } from "./texts";

export interface RoomState {
  readonly locked: boolean;
  /** Whether newcomers have to knock. */
  readonly lobby: boolean;
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number | undefined;
}

const NOTHING: RoomState = { locked: false, lobby: false, subject: "", startedAt: undefined };

/** What held in the room of an earlier stay. */
interface Kept {
  readonly createdAt: number;
  readonly locked: boolean;
  readonly lobby: boolean;
  /** Whether it was ours to set. */
  readonly owned: boolean;
}

/** How long the rights to set things again may take to come, in milliseconds: the first who comes gets them. */
const RIGHTS_PATIENCE = 10_000;

export class RoomSettings {
  readonly state = new Value<RoomState>(NOTHING);
  /** The password that let us in, or that we set. */
  password: string | undefined;

  private readonly link: Link;
  private readonly notices: Notices;
  private readonly clock: Clock;
  private config: RoomConfig | undefined;
  private kept: Kept | undefined;
  /** What a room of before had and this one has not; done as soon as we may. */
  private missing: Kept | undefined;
  private rightsTimer: Timer | undefined;

  constructor(link: Link, notices: Notices, clock: Clock) {
    this.link = link;
    this.notices = notices;
    this.clock = clock;
    link.on("config", (config) => this.onConfig(config));
    link.on("roster", () => this.onRole());
    link.on("subject", (subject) => this.change({ subject }));
    link.onReset(() => {
      this.config = undefined;
      this.settled();
      this.state.set({ ...NOTHING, subject: this.state.get().subject });
    });
  }

  private change(change: Partial<RoomState>): void {
    this.state.update((s) => ({ ...s, ...change }));
  }

  private onConfig(config: RoomConfig): void {
    const { createdAt, locked } = config;
    const lobby = config.lobby !== undefined;
    const first = this.config === undefined;
    this.config = config;
    this.change({ locked, lobby, ...(createdAt > 0 && { startedAt: createdAt }) });
    if (first) this.compare(config);
    if (this.missing !== undefined) this.onRole();
    else this.keep();
  }

  /** Notices that this is another room than before, and what it lacks. */
  private compare({ createdAt, locked, lobby }: RoomConfig): void {
    const before = this.kept;
    if (before === undefined || createdAt <= 0 || createdAt === before.createdAt) return;
    const lost = { locked: before.locked && !locked, lobby: before.lobby && lobby === undefined };
    if (!lost.locked && !lost.lobby) return;
    this.missing = { ...before, ...lost };
    const giveUp = (): void => {
      this.settled();
      this.notices.show(texts.settingsLost(lost), { important: true });
    };
    if (this.canRestore(this.missing)) this.rightsTimer = this.clock.setTimeout(giveUp, RIGHTS_PATIENCE);
    else giveUp();
  }

  /** Nothing is left to be set again. */
  private settled(): void {
    this.clock.clearTimeout(this.rightsTimer);
    this.missing = undefined;
  }

  private canRestore({ owned, locked }: Kept): boolean {
    return owned && (!locked || this.password !== undefined);
  }

  private keep(): void {
    if (this.config === undefined || this.config.createdAt <= 0) return;
    const { createdAt, locked, lobby } = this.config;
    const owned = this.link.conference.room?.moderator ?? false;
    this.kept = { createdAt, locked, lobby: lobby !== undefined, owned };
  }

  private onRole(): void {
    const { room } = this.link.conference;
    if (this.missing === undefined) {
      this.keep();
      return;
    }
    if (room?.moderator !== true || !this.canRestore(this.missing)) return;
    const missing = this.missing;
    this.settled();
    void this.restore(room, missing);
  }

  private async restore(
    room: NonNullable<Link["conference"]["room"]>,
    { locked, lobby }: Kept,
  ): Promise<void> {
    try {
      if (locked && this.password !== undefined) await room.setPassword(this.password);
      if (lobby) await room.setLobbyEnabled(true);
      this.notices.show(texts.settingsRestored({ locked, lobby }));
    } catch {
      this.notices.show(texts.settingsLost({ locked, lobby }), { important: true });
    }
  }
}
