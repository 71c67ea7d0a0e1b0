// A meeting from the first byte to the last: connect, ask the focus, join the room, carry media, and come
// back by itself when the connection was lost.

import type { ReceiverConstraints } from "./bridge-channel";
import type { Clock, Timer } from "./clock";
import type { MeetingConfig } from "./config";
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
  requestConference,
  requestConferenceByHttp,
  requestIceServers,
} from "./services";
import { type MediaState, Sessions, type SessionsEvents } from "./sessions";
import { type Socket, XmppStream } from "./stream";
import { child, el, text, type XmlElement } from "./xml";

export type ConferenceState = "idle" | "connecting" | "joining" | "joined" | "reconnecting" | "ended";

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

const MAX_REQUEST_WAIT = 30_000;
const ROOM_RETRIES = 4;

export class Conference extends Emitter<ConferenceEvents> {
  state: ConferenceState = "idle";
  room: Room | undefined;
  sessions: Sessions | undefined;
  endpointId = "";
  /** Whether we have been in the room before, so that a join is a return. */
  returning = false;
  readonly stream: XmppStream;
  /** Hash of what this client can do, as it is announced. */
  readonly capsVersion: Promise<string>;

  private readonly options: ConferenceOptions;
  private readonly features: string[];
  private tracks: LocalTracks = { audio: null, video: null, desktop: null };
  private constraints: ReceiverConstraints | undefined;
  private wanted: JoinRequest | undefined;
  private httpReply: Promise<ConferenceReply> | undefined;
  private sessionId: string | undefined;
  private requestWait = 0;
  private roomRetries = 0;
  private retryTimer: Timer | undefined;
  private attempt = 0;
  private iceServers: readonly RTCIceServer[] = [];
  private warm: RTCPeerConnection | undefined;
  private name = "";
  private raisedHand = 0;
  private sharedBefore = false;
  private readonly forceMuted = new Set<"audio" | "video" | "desktop">();
  private rejoins = 0;
  private lobby: Lobby | undefined;
  private lobbyRoom = "";

  constructor(options: ConferenceOptions) {
    super();
    this.options = options;
    this.features = featuresFor({ ssrcRewriting: options.config.ssrcRewriting });
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
    this.stream.on("failed", (error) => this.fail(error));
  }

  get roomJid(): string {
    return `${this.options.roomName}@${this.options.config.muc}`;
  }

  /** Logs in and prepares media, without joining yet. */
  connect(): void {
    this.stream.connect();
    this.warm ??= this.options.newPeerConnection(baseConfiguration([]));
  }

  /** Joins the room as soon as the connection allows. */
  join(request: JoinRequest): void {
    this.wanted = request;
    this.name = request.name;
    if (this.state === "joined" || this.state === "joining") return;
    this.roomRetries = 0;
    this.requestWait = 0;
    this.setState(this.stream.state === "online" ? "joining" : "connecting");
    // Over HTTP the focus can prepare the room while the connection is being made.
    if (this.options.config.conferenceRequestUrl !== undefined) this.httpReply = this.askFocus();
    this.httpReply?.catch(() => undefined);
    this.connect();
    if (this.stream.state === "online") void this.enter();
  }

  /** Leaves the room and closes the connection. */
  async leave(): Promise<void> {
    this.wanted = undefined;
    this.attempt += 1;
    this.options.clock.clearTimeout(this.retryTimer);
    this.closeLobby();
    const room = this.room;
    this.endStay();
    this.setState("ended");
    await room?.leave();
    this.stream.close();
    this.warm?.close();
    this.warm = undefined;
  }

  private setState(state: ConferenceState): void {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }

  private streamUrl(): string {
    const { config, roomName } = this.options;
    const mark = config.webSocketUrl.includes("?") ? "&" : "?";
    const token = config.token === undefined ? "" : `&token=${config.token}`;
    return `${config.webSocketUrl}${mark}room=${roomName}${token}`;
  }

  // --- joining ------------------------------------------------------------------------------

  private onOnline(resumed: boolean): void {
    if (resumed) {
      if (this.state === "reconnecting") this.setState(this.room?.joined ? "joined" : "joining");
      return;
    }
    requestIceServers(this.stream, this.options.config.domain).then((servers) => {
      this.iceServers = servers;
    });
    // The server has forgotten us: everything that depended on the old session starts anew.
    this.lobby = undefined;
    this.endStay();
    this.endpointId = endpointIdFor(this.stream.jid);
    if (this.wanted !== undefined) void this.enter();
  }

  private onOffline(): void {
    if (this.state === "joined" || this.state === "joining") this.setState("reconnecting");
  }

  private fail(error: ProtocolError): void {
    this.endStay();
    this.wanted = undefined;
    this.setState("ended");
    this.emit("joinFailed", error);
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

  /** Asks the focus and sends the join presence. */
  private async enter(): Promise<void> {
    const attempt = ++this.attempt;
    if (this.state !== "reconnecting") this.setState("joining");
    let reply: ConferenceReply;
    try {
      const early = this.httpReply;
      this.httpReply = undefined;
      reply = await (early ?? this.askFocus());
    } catch (error) {
      if (attempt === this.attempt) this.onRequestFailed(error);
      return;
    }
    if (attempt !== this.attempt || this.wanted === undefined) return;
    this.sessionId = reply.sessionId ?? this.sessionId;
    if (reply.properties["live"] === "false") {
      this.emit("joinFailed", new ProtocolError("not-live"));
      this.retryLater();
    } else if (reply.ready) {
      await this.enterRoom(reply.focusJid, attempt);
    } else {
      this.retryLater();
    }
  }

  private onRequestFailed(error: unknown): void {
    const known = error instanceof ProtocolError ? error : new ProtocolError("conference-request-failed");
    if (known.code === "connection-lost") return;
    if (known.condition === "session-invalid") {
      this.sessionId = undefined;
      this.retryLater();
    } else if (known.code === "authentication-required") {
      this.emit("joinFailed", known);
      this.retryLater(5_000);
    } else if (this.state === "reconnecting" || known.code === "timeout") {
      this.retryLater();
    } else {
      this.giveUp(known);
    }
  }

  private giveUp(error: ProtocolError): void {
    this.wanted = undefined;
    this.setState("idle");
    this.emit("joinFailed", error);
  }

  private retryLater(fixed?: number): void {
    const { clock } = this.options;
    this.requestWait = Math.min(MAX_REQUEST_WAIT, this.requestWait === 0 ? 1_000 : this.requestWait * 2);
    clock.clearTimeout(this.retryTimer);
    this.retryTimer = clock.setTimeout(() => {
      if (this.wanted !== undefined && this.stream.state === "online") void this.enter();
    }, fixed ?? this.requestWait);
  }

  private async enterRoom(focusJid: string | undefined, attempt: number): Promise<void> {
    const capsVer = await this.capsVersion;
    if (attempt !== this.attempt || this.wanted === undefined) return;
    const { config, clock } = this.options;
    const own: OwnPresence = {
      name: this.name,
      sources: this.sourceInfo(),
      raisedHand: this.raisedHand,
      codecs: this.options.codecs(),
      capsVersion: capsVer,
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
    const focus = focusJid ?? config.focusUserJid;
    if (focus !== undefined) room.focusJid = bareJid(focus);
    this.room = room;
    this.watchRoom(room);
    this.openMedia(room);
    room.join(this.wanted.password);
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
    lobby.on("denied", () => lobby === this.lobby && this.emit("knockDenied", undefined));
    lobby.on("closed", ({ open }) => {
      if (lobby !== this.lobby) return;
      this.lobby = undefined;
      this.emit("knockers", []);
      if (this.room === undefined) this.afterKnock(open);
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
    if (this.lobbyRoom !== "") this.openLobby(this.lobbyRoom).enter(name);
  }

  admit(id: string): void {
    this.lobby?.admit(id);
  }

  async reject(id: string): Promise<void> {
    await this.lobby?.reject(id);
  }

  private afterKnock(open: boolean, password?: string): void {
    if (open) this.join({ name: this.name, ...(password !== undefined && { password }) });
    else this.emit("removed", { kind: "ended", by: "", reason: "" });
  }

  private onJoined(): void {
    this.requestWait = 0;
    this.roomRetries = 0;
    if (this.lobby !== undefined && this.lobby.jid !== this.room?.lobbyJid) this.closeLobby();
    this.returning = true;
    this.setState("joined");
    this.sessions?.onRoster();
    this.emit("roster", undefined);
  }

  private onJoinFailed(error: ProtocolError): void {
    this.endStay();
    this.lobbyRoom = error.lobbyRoom;
    if (error.condition === "room-does-not-exist" && this.roomRetries < ROOM_RETRIES) {
      this.roomRetries += 1;
      this.retryLater(300 + 700 * this.options.random());
      return;
    }
    this.giveUp(error);
  }

  private onRemoved({ kind, by, reason }: RoomEvents["removed"]): void {
    if (kind === "left") {
      // Not asked for and not said why: come back.
      this.rejoin();
      return;
    }
    const name = this.room?.occupants.get(by)?.name ?? "";
    this.wanted = undefined;
    this.closeLobby();
    this.endStay();
    this.setState("ended");
    this.emit("removed", { kind, by: name, reason });
    this.stream.close();
  }

  /** The focus was restarted or the room moved: ask for it again and keep the room. */
  private onFocusLeft(): void {
    const { clock } = this.options;
    clock.clearTimeout(this.retryTimer);
    this.retryTimer = clock.setTimeout(
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

  /** Leaves the room and joins it again over the same connection. */
  private rejoin(): void {
    this.rejoins += 1;
    this.closeLobby();
    const room = this.room;
    this.endStay();
    this.setState("reconnecting");
    const wait = Math.min(MAX_REQUEST_WAIT, 500 * 2 ** Math.min(this.rejoins, 6));
    void (room?.leave() ?? Promise.resolve()).then(() => {
      this.options.clock.clearTimeout(this.retryTimer);
      this.retryTimer = this.options.clock.setTimeout(() => {
        if (this.wanted !== undefined && this.stream.state === "online") void this.enter();
      }, wait);
    });
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
      "broken",
      current(() => this.rejoin()),
    );
    sessions.on(
      "media",
      current((state) => {
        if (state === "connected") this.rejoins = 0;
        this.emit("media", state);
      }),
    );
    void sessions.setTracks(this.tracks);
    if (this.constraints !== undefined) sessions.setReceiverConstraints(this.constraints);
  }

  /** Forgets the room and its media. */
  private endStay(): void {
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
    if (servers.length > 0) ready.setConfiguration(configuration);
    return ready;
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
    if (invited !== undefined && this.lobby !== undefined) this.afterKnock(true, invited.password);
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
