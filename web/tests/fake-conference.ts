// A conference whose events are the test's, and a room that notes what it was asked.

import { Link } from "../src/model/link";
import { LocalMedia } from "../src/model/local-media";
import { Notices } from "../src/model/notices";
import { SettingsStore } from "../src/model/settings";
import type { Blockage } from "../src/protocol/blockage";
import type { Clock } from "../src/protocol/clock";
import { VirtualClock } from "../src/protocol/clock";
import type { Conference, ConferenceEvents, ConferenceState } from "../src/protocol/conference";
import { Emitter } from "../src/protocol/emitter";
import type { Occupant } from "../src/protocol/room";

export function occupant(id: string, name = id, more: Partial<Occupant> = {}): Occupant {
  return {
    id,
    realJid: `${id}@meet.example.com/1`,
    moderator: false,
    name,
    sources: new Map(),
    raisedHand: 0,
    codecs: [],
    hidden: false,
    ...more,
  };
}

export class FakeRoom {
  readonly occupants = new Map<string, Occupant>();
  readonly asked: unknown[][] = [];
  moderator = false;
  joined = true;
  /** What the server answers to a moderator. */
  allowed = true;
  private nextId = 1;

  sendMessage(text: string, to?: string): string {
    this.asked.push(["message", text, to]);
    return `m${this.nextId++}`;
  }

  private async moderate(...call: unknown[]): Promise<void> {
    this.asked.push(call);
    if (!this.allowed) throw new Error("forbidden");
  }

  kick = (id: string): Promise<void> => this.moderate("kick", id);
  mute = (id: string, media: string, on: boolean): Promise<void> => this.moderate("mute", id, media, on);
  grantModerator = (id: string): Promise<void> => this.moderate("grant", id);
  setPassword = (password: string): Promise<void> => this.moderate("password", password);
  setLobbyEnabled = (on: boolean): Promise<void> => this.moderate("lobby", on);
}

export class FakeConference extends Emitter<ConferenceEvents> {
  state: ConferenceState = "idle";
  endpointId = "me";
  returning = false;
  /** What the browser found out about media that does not connect. */
  blockage: Blockage | undefined;
  readonly sessions = { blockage: async (): Promise<Blockage | undefined> => this.blockage };
  room: FakeRoom | undefined;
  readonly asked: unknown[][] = [];

  tell<K extends keyof ConferenceEvents>(event: K, value: ConferenceEvents[K]): void {
    this.emit(event, value);
  }

  become(state: ConferenceState): void {
    this.state = state;
    this.emit("state", state);
  }

  /** Enters a room with these people. */
  enter(...people: Occupant[]): FakeRoom {
    this.room = new FakeRoom();
    for (const one of people) this.room.occupants.set(one.id, one);
    this.become("joined");
    this.returning = true;
    this.emit("roster", undefined);
    return this.room;
  }

  /** The room and everything known of it is gone. */
  forget(): void {
    this.room = undefined;
    this.emit("stay", undefined);
    this.emit("roster", undefined);
  }

  comes(one: Occupant): void {
    this.room?.occupants.set(one.id, one);
    this.emit("roster", undefined);
    this.emit("personJoined", one);
  }

  goes(id: string, kicked = false): void {
    const one = this.room?.occupants.get(id);
    if (one === undefined) throw new Error(`${id} is not here`);
    this.room?.occupants.delete(id);
    this.emit("roster", undefined);
    this.emit("personLeft", { occupant: one, kicked });
  }

  remoteTracks(): never[] {
    return [];
  }

  private note(...call: unknown[]): void {
    this.asked.push(call);
  }

  connect = (): void => this.note("connect");
  join = (request: unknown): void => this.note("join", request);
  leave = async (): Promise<void> => this.note("leave");
  knock = (name: string): void => this.note("knock", name);
  admit = (id: string): void => this.note("admit", id);
  reject = async (id: string): Promise<void> => this.note("reject", id);
  rememberPassword = (password: string | undefined): void => this.note("password", password);
  setTracks = (tracks: unknown): void => this.note("tracks", tracks);
  setReceiverConstraints = (constraints: unknown): void => this.note("constraints", constraints);
  setRaisedHand = (raised: boolean): void => this.note("hand", raised);
  setName = (name: string): void => this.note("name", name);
}

/** What most parts of the meeting need. */
export class Ground {
  readonly clock = new VirtualClock();
  readonly conferences: FakeConference[] = [];
  readonly link = new Link(() => {
    const made = new FakeConference();
    this.conferences.push(made);
    return made as unknown as Conference;
  });
  readonly notices = new Notices(this.clock as Clock);
  readonly settings = new SettingsStore(undefined, () => "uid");
  readonly media = new LocalMedia(undefined, this.settings, 720);

  get conference(): FakeConference {
    const last = this.conferences.at(-1);
    if (last === undefined) throw new Error("no conference");
    return last;
  }

  readonly nameOf = (id: string): string => this.conference.room?.occupants.get(id)?.name ?? "Guest";

  texts(): string[] {
    return this.notices.list.get().map((n) => n.text);
  }
}
