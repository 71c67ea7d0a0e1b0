// What a moderator does: to people, to the room, and for those who wait outside.

import type { Knocker } from "../protocol/lobby";
import type { Link } from "./link";
import type { NoticeAction, Notices } from "./notices";
import { Value } from "./observable";
import { displayName } from "./people";
import type { RoomSettings } from "./room-settings";
import type { Roster } from "./roster";
import { texts } from "./texts";
import type { View } from "./view";

export interface ModerationState {
  readonly knockers: readonly Knocker[];
}

export interface ModerationOptions {
  readonly link: Link;
  readonly notices: Notices;
  readonly view: View;
  readonly roster: Roster;
  readonly room: RoomSettings;
  /** Plays the sound of a knock. */
  readonly knockSound: () => void;
}

const KNOCK = "knock";

export class Moderation {
  readonly state = new Value<ModerationState>({ knockers: [] });
  private readonly options: ModerationOptions;

  constructor(options: ModerationOptions) {
    this.options = options;
    options.link.on("knockers", (knockers) => this.onKnockers(knockers));
    options.link.onReset(() => this.onKnockers([]));
  }

  // --- people -------------------------------------------------------------------------------

  kick(id: string): void {
    const { room } = this.options.link.conference;
    void this.attempt(room?.kick(id, texts.kickReason), texts.kickPerson);
  }

  mutePerson(id: string, media: "audio" | "video"): void {
    const { room } = this.options.link.conference;
    void this.attempt(room?.mute(id, media, true), texts.mutePerson);
  }

  muteEveryone(): void {
    for (const person of this.options.roster.state.get().people) {
      if (!person.local && !person.audioMuted) this.mutePerson(person.id, "audio");
    }
  }

  grantModerator(id: string): void {
    const { room } = this.options.link.conference;
    void this.attempt(room?.grantModerator(id), texts.makeModerator);
  }

  // --- room ---------------------------------------------------------------------------------

  /** Sets the password of the room, or takes it away when empty. */
  async lock(password: string): Promise<void> {
    const { link, notices, view, room } = this.options;
    view.closeDialogs("lock");
    if (!(await this.attempt(link.conference.room?.setPassword(password), texts.changePassword))) return;
    room.password = password === "" ? undefined : password;
    link.conference.rememberPassword(room.password);
    notices.show(password === "" ? texts.passwordRemoved : texts.passwordSet);
  }

  setLobbyEnabled(enabled: boolean): void {
    const work = this.options.link.conference.room?.setLobbyEnabled(enabled);
    void this.attempt(work, enabled ? texts.turnLobbyOn : texts.turnLobbyOff);
  }

  private async attempt(work: Promise<void> | undefined, what: string): Promise<boolean> {
    try {
      await work;
      return true;
    } catch {
      this.options.notices.show(texts.notAllowedTo(what), { important: true });
      return false;
    }
  }

  // --- waiting room -------------------------------------------------------------------------

  admit(id: string): void {
    this.options.link.conference.admit(id);
  }

  reject(id: string): void {
    void this.attempt(this.options.link.conference.reject(id), texts.turnAway);
  }

  private onKnockers(knockers: readonly Knocker[]): void {
    const before = this.state.get().knockers;
    const known = new Set(before.map((k) => k.id));
    const fresh = knockers.some((k) => !known.has(k.id));
    if (!fresh && knockers.length === before.length) return;
    this.state.set({ knockers });
    const { notices, knockSound } = this.options;
    if (knockers.length === 0) {
      notices.withdraw(KNOCK);
      return;
    }
    // A notice that was put away comes back for somebody new only.
    const shown = notices.list.get().some((n) => n.key === KNOCK);
    if (fresh || shown) this.showKnock(knockers);
    if (fresh) knockSound();
  }

  private showKnock(knockers: readonly Knocker[]): void {
    const { notices, view } = this.options;
    const names = knockers.map((k) => displayName(k.name));
    const each = (run: (id: string) => void) => (): void => {
      for (const { id } of knockers) run(id);
      notices.withdraw(KNOCK);
    };
    const one = knockers.length === 1;
    const see: NoticeAction = {
      label: texts.seeKnockers,
      testid: "knock-see",
      run: () => view.showPanel("people"),
    };
    const actions: NoticeAction[] = [
      ...(one ? [] : [see]),
      {
        label: one ? texts.refuse : texts.refuseAll,
        testid: "knock-refuse",
        run: each((id) => this.reject(id)),
      },
      {
        label: one ? texts.letIn : texts.letAllIn,
        testid: "knock-admit",
        primary: true,
        run: each((id) => this.admit(id)),
      },
    ];
    notices.show(texts.knocking(names), { key: KNOCK, important: true, sticky: true, actions });
  }
}
