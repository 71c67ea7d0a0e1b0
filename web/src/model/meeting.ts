// The meeting as the interface sees it, composed of parts that each own their state.

import type { Clock } from "../protocol/clock";
import type { Conference } from "../protocol/conference";
import type { MeetingConfig } from "../protocol/config";
import { Chat } from "./chat";
import { Connectivity, type ConnectivityState } from "./connectivity";
import { Entry, type EntryState } from "./entry";
import { Link } from "./link";
import type { LocalMedia } from "./local-media";
import { Moderation, type ModerationState } from "./moderation";
import { Notices } from "./notices";
import { Value } from "./observable";
import { Own, type OwnState } from "./own";
import { displayName } from "./people";
import { Reception, type ReceptionState } from "./reception";
import { RoomSettings, type RoomState } from "./room-settings";
import { Roster, type RosterState } from "./roster";
import type { SettingsStore } from "./settings";
import type { Action } from "./shortcuts";
import { Stage, type StageState } from "./stage";
import { View, type ViewState } from "./view";

export type MeetingState = EntryState &
  ConnectivityState &
  RosterState &
  StageState &
  ReceptionState &
  RoomState &
  ModerationState &
  OwnState &
  ViewState;

export interface MeetingOptions {
  readonly roomTitle: string;
  /** Path of the room's page, percent-encoded, with its tenant. */
  readonly roomPath: string;
  readonly config: MeetingConfig;
  readonly clock: Clock;
  readonly settings: SettingsStore;
  readonly media: LocalMedia;
  readonly newConference: () => Conference;
  readonly wallClock: () => number;
  /** Plays the sound of a knock at the waiting room. */
  readonly knockSound: () => void;
}

const LOWEST_QUALITY = 180;

export class Meeting {
  readonly options: MeetingOptions;
  readonly media: LocalMedia;
  readonly notices: Notices;
  readonly view = new View();
  readonly own: Own;
  readonly roster: Roster;
  readonly stage: Stage;
  readonly reception: Reception;
  readonly connectivity: Connectivity;
  readonly room: RoomSettings;
  readonly moderation: Moderation;
  readonly entry: Entry;
  readonly chat: Chat;
  /** The states of all parts in one. */
  readonly state: Value<MeetingState>;
  private readonly link: Link;

  constructor(options: MeetingOptions) {
    this.options = options;
    const { config, clock, settings, media, roomPath } = options;
    const link = new Link(options.newConference);
    const notices = new Notices(clock);
    const { view, nameOf } = this;
    this.link = link;
    this.media = media;
    this.notices = notices;
    this.own = new Own({ link, media, settings, notices, config, nameOf });
    this.roster = new Roster({ link, clock, settings, media, notices }, this.own);
    this.stage = new Stage(link, this.roster);
    this.reception = new Reception({
      link,
      clock,
      roster: this.roster,
      stage: this.stage,
      lastN: config.lastN,
      maxHeight: Math.max(LOWEST_QUALITY, config.resolution),
    });
    this.connectivity = new Connectivity(link, notices, clock);
    this.room = new RoomSettings(link, notices, clock);
    this.moderation = new Moderation({
      link,
      notices,
      view,
      roster: this.roster,
      room: this.room,
      knockSound: options.knockSound,
    });
    this.entry = new Entry({ link, settings, media, room: this.room, view, roomPath });
    this.chat = new Chat({ link, view, notices, nameOf, wallClock: options.wallClock });
    const parts = [
      this.entry,
      this.connectivity,
      this.roster,
      this.stage,
      this.reception,
      this.room,
      this.moderation,
      this.own,
      view,
    ];
    this.state = new Value<MeetingState>(this.compose());
    for (const part of parts) part.state.subscribe(() => this.state.set(this.compose()));
    this.entry.state.subscribe(() => this.entry.state.get().page === "left" && this.own.lowerHand());
    media.news.subscribe(() => this.onDeviceNews());
  }

  private onDeviceNews(): void {
    const { media, notices } = this;
    const news = media.news.get();
    if (news === undefined) return;
    const { key, text, important, isError, offer } = news;
    if (text === "") notices.withdraw(key);
    // Before joining, the form itself says what is wrong with the devices.
    if (text === "" || (isError && this.state.get().page !== "room")) return;
    const actions = offer === undefined ? [] : [{ ...offer, testid: "use-device", primary: true }];
    notices.show(text, { key, important, actions });
  }

  private compose(): MeetingState {
    return {
      ...this.entry.state.get(),
      ...this.connectivity.state.get(),
      ...this.roster.state.get(),
      ...this.stage.state.get(),
      ...this.reception.state.get(),
      ...this.room.state.get(),
      ...this.moderation.state.get(),
      ...this.own.state.get(),
      ...this.view.state.get(),
    };
  }

  get conference(): Conference {
    return this.link.conference;
  }

  /** How an endpoint is called here. */
  readonly nameOf = (id: string): string => {
    const { conference } = this.link;
    if (id === conference.endpointId) return displayName(this.options.settings.get().name);
    return displayName(conference.room?.occupants.get(id)?.name ?? "");
  };

  /** Carries out a keyboard action; the full screen belongs to the page. */
  act(action: Action): void {
    const { own, view, stage } = this;
    const actions: Readonly<Record<Action, () => void>> = {
      "toggle-audio": () => own.toggleAudio(),
      "toggle-video": () => own.toggleVideo(),
      "toggle-screen": () => own.toggleScreen(),
      "toggle-chat": () => view.togglePanel("chat"),
      "toggle-people": () => view.togglePanel("people"),
      "toggle-hand": () => own.toggleHand(),
      "toggle-view": () => stage.toggleView(),
      "toggle-strip": () => view.toggleStrip(),
      "toggle-fullscreen": () => undefined,
      quality: () => view.openDialog("quality"),
      help: () => view.openDialog("help"),
      close: () => view.closeTop(),
    };
    actions[action]();
  }
}
