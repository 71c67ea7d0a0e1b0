// A meeting from the first byte to the last: connect, ask the focus, join the room, carry media, and come
// back by itself when the connection was lost.

import type { ReceiverConstraints } from "./bridge-channel";
import type { Clock, Timer } from "./clock";
import type { MeetingConfig } from "./config";
import {
  type ConferenceState,
  type Connection,
  type ConnectionEvent,
  conferenceState,
  type Effect,
  isWanted,
  NOT_CONNECTED,
  transition,
} from "./connection";
import { Emitter } from "./emitter";
import { ProtocolError } from "./errors";
import { bareJid, endpointIdFor, randomHex } from "./ids";
import { invitation, type Knocker, Lobby } from "./lobby";
import { NS } from "./ns";
import type { LocalTracks, RemoteTrack } from "./peer-media";
import {
  type ChatError,
  type ChatMessage,
  type Occupant,
  type OwnPresence,
  Room,
  type RoomConfig,
  type RoomEvents,
  type SourceState,
} from "./room";
import {
  answerRequest,
  type ConferenceReply,
  type ConferenceRequest,
  capsVersion,
  featuresFor,
  hasAudioRed,
  requestConference,
  requestConferenceByHttp,
  requestIceServers,
} from "./services";
import { type MediaState, Sessions, type SessionsEvents } from "./sessions";
import { QUICK_CHECK, type Socket, XmppStream } from "./stream";
import { child, el, text, type XmlElement } from "./xml";

export type { ConferenceState } from "./connection";

export interface ConferenceEvents {
  state: ConferenceState;
  /** The people, their states or our own role have changed. */
  roster: undefined;
  personJoined: Occupant;
  personLeft: { readonly occupant: Occupant; readonly kicked: boolean };
  /** A stay in the room is over or another begins: nothing known of the room holds any more. */
  stay: undefined;
  message: ChatMessage;
  chatError: ChatError;
  subject: string;
  /** What holds for the room; read anew in each stay. */
  config: RoomConfig;
  /** Who is knocking, for moderators. */
  knockers: readonly Knocker[];
  /** We knocked and were turned away. */
  knockDenied: undefined;
  noBridge: boolean;
  /** The join was refused; with `password-required` another `join` may follow. */
  joinFailed: ProtocolError;
  /** We were put out for good; `by` is the name of who did it, if known. */
  removed: { readonly kind: "kicked" | "ended"; readonly by: string; readonly reason: string };
  tracks: undefined;
  media: MediaState;
  peer: boolean;
  speaker: SessionsEvents["speaker"];
  forwarded: readonly string[];
  connectivity: SessionsEvents["connectivity"];
  endpointMessage: SessionsEvents["endpointMessage"];
  endpointStats: SessionsEvents["endpointStats"];
  /** A moderator switched something of ours off. */
  mutedByModerator: { readonly media: "audio" | "video" | "desktop"; readonly actor: string };
}

export interface ConferenceOptions {
  readonly config: MeetingConfig;
  /** As it stands in room addresses. */
  readonly roomName: string;
  readonly clock: Clock;
  readonly machineUid: string;
  readonly random: () => number;
  readonly openSocket: (url: string, protocol: string) => Socket;
  readonly newPeerConnection: (configuration: RTCConfiguration) => RTCPeerConnection;
  /** Codecs this browser can decode, lower case, by preference. */
  readonly codecs: () => readonly string[];
}

export interface JoinRequest {
  readonly name: string;
  readonly password?: string;
}

const ROOM_RETRIES = 4;
/** Refusals of which a return to the room makes no more than this many. */
const RETURN_RETRIES = 6;
const HOST_WAIT = 5_000;
/** How long the server may be silent while the pictures stand still, which a slow network makes them do too; milliseconds. */
const STILL_CHECK = 600;

export class Conference extends Emitter<ConferenceEvents> {
  state: ConferenceState = "idle";
  room: Room | undefined;
  sessions: Sessions | undefined;
  endpointId = "";
  readonly stream: XmppStream;
  /** Hash of what this client can do, as it is announced. */
  readonly capsVersion: Promise<string>;

  private readonly options: ConferenceOptions;
  private readonly features: string[];
  private tracks: LocalTracks = { audio: null, video: null, desktop: null };
  private constraints: ReceiverConstraints | undefined;
  private connection: Connection = NOT_CONNECTED;
  private password: string | undefined;
  private httpReply: Promise<ConferenceReply> | undefined;
  /** Whether the room was entered once without waiting for the focus's answer. */
  private unasked = false;
  private sessionId: string | undefined;
  private focusJid: string | undefined;
  private stepTimer: Timer | undefined;
  private focusTimer: Timer | undefined;
  private iceServers: readonly RTCIceServer[] = [];
  private warm: RTCPeerConnection | undefined;
  private name = "";
  private raisedHand = 0;
  private sharedBefore = false;
  private readonly forceMuted = new Set<"audio" | "video" | "desktop">();
  private lobby: Lobby | undefined;
  private lobbyRoom = "";

  constructor(options: ConferenceOptions) {
    super();
    this.options = options;
    const { ssrcRewriting, opusRed } = options.config;
    this.features = featuresFor({ ssrcRewriting, opusRed: opusRed && hasAudioRed() });
    this.capsVersion = capsVersion(this.features).catch(() => randomHex(16));
    this.stream = new XmppStream({
      url: this.streamUrl(),
      domain: options.config.domain,
      clock: options.clock,
      openSocket: options.openSocket,
      resume: options.config.resume,
      pipelined: options.config.pipelinedLogin,
      ping: options.config.ping,
      random: options.random,
    });
    this.stream.on("online", ({ resumed }) => this.onOnline(resumed));
    this.stream.on("stanza", (stanza) => this.onStanza(stanza));
    this.stream.on("state", (state) => state === "reconnecting" && this.onOffline());
    this.stream.on("failed", (error) => {
      this.happened({ type: "over" });
      this.emit("joinFailed", error);
    });
  }

  get roomJid(): string {
    return `${this.options.roomName}@${this.options.config.muc}`;
  }

  /** Whether we have been in the room before, so that a join is a return. */
  get returning(): boolean {
    return this.connection.returning;
  }

  /** Logs in and prepares media, without joining yet. */
  connect(): void {
    this.stream.connect();
    this.warm ??= this.options.newPeerConnection(baseConfiguration([]));
  }

  /** Joins the room as soon as the connection allows. */
  join(request: JoinRequest): void {
    this.name = request.name;
    this.password = request.password;
    // Over HTTP the focus can prepare the room while the connection is being made.
    if (this.options.config.conferenceRequestUrl !== undefined && !isWanted(this.connection)) {
      this.httpReply = this.askFocus();
      this.httpReply.catch(() => undefined);
    }
    this.connect();
    this.happened({ type: "join" });
  }

  /** The password of the room has changed: a return to the room needs the new one. */
  rememberPassword(password: string | undefined): void {
    this.password = password;
  }

  /** Leaves the room and closes the connection. */
  async leave(): Promise<void> {
    this.options.clock.clearTimeout(this.focusTimer);
    this.closeLobby();
    const { room } = this;
    this.happened({ type: "over" });
    await room?.leave();
    this.stream.close();
    this.warm?.close();
    this.warm = undefined;
  }

  /** Something says that the network may be gone, or back: finds out now. */
  checkNetwork(): void {
    this.stream.check();
  }

  /** The network is another one: connections and paths that it does not carry any more are replaced. */
  networkChanged(): void {
    this.stream.check(QUICK_CHECK);
    this.sessions?.checkPaths();
  }

  // --- the way in and back ------------------------------------------------------------------

  private happened(event: ConnectionEvent): void {
    const before = this.connection;
    const { next, effects } = transition(before, event);
    this.connection = next;
    if (next.attempt !== before.attempt) this.options.clock.clearTimeout(this.stepTimer);
    const state = conferenceState(next);
    // What is over is forgotten before anybody is told.
    for (const effect of effects) this.carryOut(effect);
    if (this.connection === next && state !== this.state) {
      this.state = state;
      this.emit("state", state);
    }
  }

  private carryOut(effect: Effect): void {
    const { attempt } = this.connection;
    switch (effect.do) {
      case "ask":
        void this.ask(attempt);
        break;
      case "enter":
        void this.enterRoom(attempt);
        break;
      case "knock":
        this.openLobby(this.lobbyRoom).enter(this.name);
        break;
      case "leave":
        void this.room?.leave();
        this.endStay();
        break;
      case "forget":
        this.endStay();
        break;
      case "wait":
        this.options.clock.clearTimeout(this.stepTimer);
        this.stepTimer = this.options.clock.setTimeout(
          () => this.happened({ type: "timer", attempt }),
          effect.ms,
        );
        break;
    }
  }

  private streamUrl(): string {
    const { config, roomName } = this.options;
    const mark = config.webSocketUrl.includes("?") ? "&" : "?";
    const token = config.token === undefined ? "" : `&token=${config.token}`;
    return `${config.webSocketUrl}${mark}room=${roomName}${token}`;
  }

  // --- joining ------------------------------------------------------------------------------

  private onOnline(resumed: boolean): void {
    if (!resumed) {
      requestIceServers(this.stream, this.options.config.domain).then((servers) => {
        this.iceServers = servers;
      });
      // The server has forgotten us: everything that depended on the old session starts anew.
      this.lobby = undefined;
      this.endpointId = endpointIdFor(this.stream.jid);
    }
    this.happened({ type: "online", resumed });
    this.sessions?.setOnline(true);
  }

  private onOffline(): void {
    this.happened({ type: "offline" });
    this.sessions?.setOnline(false);
  }

  private askFocus(): Promise<ConferenceReply> {
    const { config, machineUid, roomName } = this.options;
    const request: ConferenceRequest = {
      roomJid: this.roomJid,
      machineUid,
      sessionId: this.sessionId,
      token: config.token,
      properties: {
        ...(config.startAudioMuted !== undefined && { startAudioMuted: config.startAudioMuted }),
        ...(config.startVideoMuted !== undefined && { startVideoMuted: config.startVideoMuted }),
        rtcstatsEnabled: false,
      },
    };
    return config.conferenceRequestUrl === undefined
      ? requestConference(this.stream, config.focus, request)
      : requestConferenceByHttp(config.conferenceRequestUrl, roomName, request);
  }

  private async ask(attempt: number): Promise<void> {
    const early = this.httpReply;
    if (early !== undefined && this.mayGoAhead()) {
      this.unasked = true;
      this.focusJid = this.options.config.focusUserJid;
      early.then(
        ({ sessionId }) => {
          this.sessionId = sessionId ?? this.sessionId;
        },
        () => undefined,
      );
      this.happened({ type: "ready", attempt });
      return;
    }
    this.httpReply = undefined;
    let reply: ConferenceReply;
    try {
      reply = await (early ?? this.askFocus());
    } catch (error) {
      if (attempt === this.connection.attempt) this.onRequestFailed(attempt, error);
      return;
    }
    if (attempt !== this.connection.attempt) return;
    this.sessionId = reply.sessionId ?? this.sessionId;
    this.focusJid = reply.focusJid ?? this.options.config.focusUserJid;
    const live = reply.properties["live"] !== "false";
    if (!live) this.emit("joinFailed", new ProtocolError("not-live"));
    this.happened(live && reply.ready ? { type: "ready", attempt } : { type: "later", attempt });
  }

  /**
   * A meeting that is going on can be entered at once. Where there is none the room says so, and only what the focus answers
   * makes one. Other servers may make a room of their own for whoever comes.
   */
  private mayGoAhead(): boolean {
    return this.options.config.pipelinedLogin && !this.unasked && !this.connection.returning;
  }

  private onRequestFailed(attempt: number, error: unknown): void {
    const known = error instanceof ProtocolError ? error : new ProtocolError("conference-request-failed");
    // A session that is lost is followed by another one, which asks again.
    if (known.code === "connection-lost") return;
    if (known.condition === "session-invalid") {
      this.sessionId = undefined;
      this.happened({ type: "later", attempt });
    } else if (known.code === "authentication-required") {
      this.emit("joinFailed", known);
      this.happened({ type: "later", attempt, after: HOST_WAIT });
    } else if (this.connection.returning || known.code === "timeout") {
      this.happened({ type: "later", attempt });
    } else {
      this.refuse(known);
    }
  }

  /** Only the user can go on from here. */
  private refuse(error: ProtocolError): void {
    this.happened({ type: "refused" });
    this.emit("joinFailed", error);
  }

  private async enterRoom(attempt: number): Promise<void> {
    const capsVersion = await this.capsVersion;
    if (attempt !== this.connection.attempt) return;
    const { config, clock } = this.options;
    const own: OwnPresence = {
      name: this.name,
      sources: this.sourceInfo(),
      raisedHand: this.raisedHand,
      codecs: this.options.codecs(),
      capsVersion,
      statsId: `Pontoon-${this.endpointId.slice(0, 3)}`,
      region: config.region,
    };
    const room = new Room(
      {
        stream: this.stream,
        clock,
        roomJid: this.roomJid,
        endpointId: this.endpointId,
        hiddenDomain: config.hiddenDomain,
      },
      own,
    );
    if (this.focusJid !== undefined) room.focusJid = bareJid(this.focusJid);
    this.room = room;
    this.watchRoom(room);
    this.openMedia(room);
    room.join(this.password);
  }

  private watchRoom(room: Room): void {
    const on = <K extends keyof RoomEvents>(event: K, run: (value: RoomEvents[K]) => void): void => {
      room.on(event, (value) => {
        if (room === this.room) run(value);
      });
    };
    const roster = (): void => {
      this.sessions?.onRoster();
      this.emit("roster", undefined);
    };
    on("joined", () => this.onJoined());
    on("joinFailed", (error) => this.onJoinFailed(error));
    on("occupantJoined", (occupant) => {
      roster();
      if (room.joined) this.emit("personJoined", occupant);
    });
    on("occupantChanged", () => {
      this.sessions?.onCodecs();
      this.emit("roster", undefined);
    });
    on("occupantLeft", (left) => {
      roster();
      this.emit("personLeft", left);
    });
    on("selfChanged", () => {
      this.watchLobby(room);
      this.emit("roster", undefined);
    });
    on("message", (message) => this.emit("message", message));
    on("chatError", (detail) => this.emit("chatError", detail));
    on("subject", (subject) => this.emit("subject", subject));
    on("config", (config) => {
      this.watchLobby(room);
      this.emit("config", config);
    });
    on("noBridge", (missing) => this.emit("noBridge", missing));
    on("focusLeft", () => this.onFocusLeft());
    on("removed", (removed) => this.onRemoved(removed));
  }

  // --- waiting room -------------------------------------------------------------------------

  /** Moderators stand in the waiting room too, to see who knocks. */
  private watchLobby(room: Room): void {
    const wanted = room.moderator ? room.lobbyJid : undefined;
    if (this.lobby?.jid === wanted) return;
    this.closeLobby();
    if (wanted === undefined) return;
    this.openLobby(wanted).enter(this.name);
  }

  private openLobby(jid: string): Lobby {
    this.closeLobby();
    const lobby = new Lobby({
      stream: this.stream,
      jid,
      mainRoom: this.roomJid,
      endpointId: this.endpointId,
    });
    this.lobby = lobby;
    lobby.on("knockers", () => this.emit("knockers", [...lobby.knockers.values()]));
    lobby.on("denied", () => {
      if (lobby !== this.lobby) return;
      this.happened({ type: "refused" });
      this.emit("knockDenied", undefined);
    });
    lobby.on("closed", ({ open }) => {
      if (lobby !== this.lobby) return;
      this.lobby = undefined;
      this.emit("knockers", []);
      if (this.room !== undefined) return;
      if (open) this.join({ name: this.name });
      else this.onRemoved({ kind: "ended", by: "", reason: "" });
    });
    return lobby;
  }

  private closeLobby(): void {
    if (this.lobby === undefined) return;
    this.lobby.leave();
    this.lobby = undefined;
    this.emit("knockers", []);
  }

  /** Asks to be let in, after the join was refused with `members-only`. */
  knock(name: string): void {
    this.name = name;
    if (this.lobbyRoom !== "") this.happened({ type: "knock" });
  }

  admit(id: string): void {
    this.lobby?.admit(id);
  }

  async reject(id: string): Promise<void> {
    await this.lobby?.reject(id);
  }

  private onJoined(): void {
    if (this.lobby !== undefined && this.lobby.jid !== this.room?.lobbyJid) this.closeLobby();
    this.httpReply = undefined;
    this.happened({ type: "entered" });
    this.sessions?.onRoster();
    this.emit("roster", undefined);
  }

  private onJoinFailed(error: ProtocolError): void {
    const { attempt, tries, returning } = this.connection;
    this.lobbyRoom = error.lobbyRoom;
    if (error.condition === "room-does-not-exist" && tries < ROOM_RETRIES) {
      const after = this.httpReply === undefined ? 300 + 700 * this.options.random() : 0;
      this.happened({ type: "later", attempt, after });
    } else if (returning && error.code === "join-failed" && tries < RETURN_RETRIES) {
      // The room may not have noticed yet that the one we were is gone.
      this.happened({ type: "later", attempt });
    } else {
      this.refuse(error);
    }
  }

  private onRemoved({ kind, by, reason }: RoomEvents["removed"]): void {
    if (kind === "left") {
      // Not asked for and not said why: come back.
      this.happened({ type: "broken" });
      return;
    }
    const name = this.room?.occupants.get(by)?.name ?? "";
    this.closeLobby();
    this.happened({ type: "over" });
    this.emit("removed", { kind, by: name, reason });
    this.stream.close();
  }

  /** The focus was restarted or the room moved: ask for it again and keep the room. */
  private onFocusLeft(): void {
    const { clock } = this.options;
    clock.clearTimeout(this.focusTimer);
    this.focusTimer = clock.setTimeout(
      () => {
        if (this.room?.joined !== true || this.room.focusOccupant !== undefined) return;
        this.askFocus().then(
          (reply) => !reply.ready && this.onFocusLeft(),
          () => this.onFocusLeft(),
        );
      },
      1_000 + 1_000 * this.options.random(),
    );
  }

  // --- media --------------------------------------------------------------------------------

  private openMedia(room: Room): void {
    const sessions = new Sessions({
      stream: this.stream,
      clock: this.options.clock,
      config: this.options.config,
      room,
      endpointId: this.endpointId,
      newPeerConnection: (servers) => this.takePeerConnection(servers),
      iceServers: () => this.iceServers,
      codecs: this.options.codecs(),
    });
    this.sessions = sessions;
    const current =
      <T>(run: (value: T) => void) =>
      (value: T): void => {
        if (sessions === this.sessions) run(value);
      };
    sessions.on(
      "tracks",
      current(() => this.emit("tracks", undefined)),
    );
    sessions.on(
      "peer",
      current((on) => this.emit("peer", on)),
    );
    sessions.on(
      "speaker",
      current((speaker) => this.emit("speaker", speaker)),
    );
    sessions.on(
      "forwarded",
      current((names) => this.emit("forwarded", names)),
    );
    sessions.on(
      "connectivity",
      current((status) => this.emit("connectivity", status)),
    );
    sessions.on(
      "endpointMessage",
      current((message) => this.emit("endpointMessage", message)),
    );
    sessions.on(
      "endpointStats",
      current((message) => this.emit("endpointStats", message)),
    );
    sessions.on(
      "still",
      current(() => this.stream.check(STILL_CHECK)),
    );
    sessions.on(
      "broken",
      current(() => this.happened({ type: "broken" })),
    );
    sessions.on(
      "media",
      current((state) => {
        if (state === "connected") this.happened({ type: "settled" });
        // Whether it is only the media or the whole network is worth a question.
        if (state === "interrupted") this.stream.check();
        this.emit("media", state);
      }),
    );
    void sessions.setTracks(this.tracks);
    if (this.constraints !== undefined) sessions.setReceiverConstraints(this.constraints);
  }

  /** Forgets the room and its media. */
  private endStay(): void {
    this.options.clock.clearTimeout(this.focusTimer);
    this.closeMedia();
    if (this.room === undefined) return;
    this.room = undefined;
    this.emit("stay", undefined);
    this.emit("roster", undefined);
  }

  private closeMedia(): void {
    const sessions = this.sessions;
    this.sessions = undefined;
    if (sessions === undefined) return;
    sessions.close();
    this.emit("peer", false);
    this.emit("media", "none");
    this.emit("tracks", undefined);
  }

  private takePeerConnection(servers: readonly RTCIceServer[]): RTCPeerConnection {
    const configuration = baseConfiguration(servers);
    const ready = this.warm;
    this.warm = undefined;
    if (ready === undefined || ready.signalingState === "closed")
      return this.options.newPeerConnection(configuration);
    try {
      if (servers.length > 0) ready.setConfiguration(configuration);
      return ready;
    } catch (error) {
      // Some browsers do not let relays be changed before anything was negotiated.
      console.warn("the connection that was ready is replaced", error);
      ready.close();
      return this.options.newPeerConnection(configuration);
    }
  }

  remoteTracks(): RemoteTrack[] {
    return this.sessions?.remoteTracks() ?? [];
  }

  setReceiverConstraints(constraints: ReceiverConstraints): void {
    this.constraints = constraints;
    this.sessions?.setReceiverConstraints(constraints);
  }

  /** Replaces what we send; `null` is muted or not there. */
  setTracks(tracks: LocalTracks): void {
    this.tracks = tracks;
    if (tracks.desktop !== null) this.sharedBefore = true;
    this.askToUnmute(tracks);
    const work = this.sessions?.setTracks(tracks) ?? Promise.resolve();
    // A new screen is first signalled, then shown to the others as a source.
    work.then(
      () => this.room?.update({ sources: this.sourceInfo() }),
      (error: unknown) => console.warn("a source was refused", error),
    );
  }

  private sourceInfo(): OwnPresence["sources"] {
    const id = this.endpointId;
    const info: Record<string, { muted: boolean; videoType?: string }> = {
      [`${id}-a0`]: { muted: this.tracks.audio === null },
      [`${id}-v0`]: { muted: this.tracks.video === null },
    };
    if (this.sharedBefore) info[`${id}-v1`] = { muted: this.tracks.desktop === null, videoType: "desktop" };
    return info;
  }

  /** After a moderator muted us, the focus has to let us through again. */
  private askToUnmute(tracks: LocalTracks): void {
    for (const media of [...this.forceMuted]) {
      if (tracks[media] === null) continue;
      this.forceMuted.delete(media);
      this.room?.mute(this.endpointId, media, false).catch(() => {
        this.forceMuted.add(media);
        this.emit("mutedByModerator", { media, actor: "" });
      });
    }
  }

  // --- presence and moderation --------------------------------------------------------------

  setName(name: string): void {
    this.name = name;
    this.room?.update({ name });
  }

  setRaisedHand(raised: boolean): void {
    this.raisedHand = raised ? Date.now() : 0;
    this.room?.update({ raisedHand: this.raisedHand });
  }

  /** State of a remote source as its owner tells it. */
  sourceState(name: string): SourceState | undefined {
    const owner = name.slice(0, name.indexOf("-"));
    return this.room?.occupants.get(owner)?.sources.get(name);
  }

  // --- stanzas ------------------------------------------------------------------------------

  private onStanza(stanza: XmlElement): void {
    if (stanza.name === "iq") {
      this.onRequest(stanza);
      return;
    }
    const invited = this.room === undefined ? invitation(stanza, this.roomJid) : undefined;
    if (invited !== undefined && this.lobby !== undefined) this.join({ name: this.name, ...invited });
    else if (this.lobby?.handle(stanza) !== true) this.room?.handle(stanza);
  }

  private onRequest(iq: XmlElement): void {
    const reply = this.sessions?.handleIq(iq) ?? this.onMute(iq) ?? answerRequest(iq, this.features);
    this.stream.send(reply);
  }

  private onMute(iq: XmlElement): XmlElement | undefined {
    const kinds = [
      ["audio", NS.muteAudio],
      ["video", NS.muteVideo],
      ["desktop", NS.muteDesktop],
    ] as const;
    const focus = this.room?.focusOccupant;
    if (focus === undefined || iq.attrs["from"] !== focus || iq.attrs["type"] !== "set") return undefined;
    for (const [media, ns] of kinds) {
      const mute = child(iq, "mute", ns);
      if (mute === undefined) continue;
      if (text(mute) === "true") {
        this.forceMuted.add(media);
        const actor = mute.attrs["actor"] ?? "";
        this.emit("mutedByModerator", { media, actor: actor.slice(actor.indexOf("/") + 1) });
      }
      return el("iq", NS.client, { type: "result", to: focus, id: iq.attrs["id"] });
    }
    return undefined;
  }
}

function baseConfiguration(servers: readonly RTCIceServer[]): RTCConfiguration {
  return { bundlePolicy: "max-bundle", rtcpMuxPolicy: "require", iceServers: [...servers] };
}
