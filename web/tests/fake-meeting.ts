// The media sessions of somebody in a room, with a server and peer connections that are the test.

import { VirtualClock } from "../src/protocol/clock";
import { readConfig } from "../src/protocol/config";
import { type Jingle, parseJingle } from "../src/protocol/jingle";
import { NS } from "../src/protocol/ns";
import type { LocalTracks } from "../src/protocol/peer-media";
import { Room } from "../src/protocol/room";
import { Sessions } from "../src/protocol/sessions";
import { child, parse, serialize, type XmlElement } from "../src/protocol/xml";
import { FakePeerConnection } from "./fake-media";
import { FakeServer, fixture } from "./support";

export const ROOM = "standup@conference.meet.example.com";
const PAGE = {
  protocol: "https:",
  host: "meet.example.com",
  hostname: "meet.example.com",
  hash: "",
  search: "",
};

export function track(height = 720): MediaStreamTrack {
  return { getSettings: () => ({ height }) } as unknown as MediaStreamTrack;
}

export const TRACKS: LocalTracks = { audio: track(), video: track(), desktop: null };

export class World {
  readonly clock = new VirtualClock();
  readonly server = new FakeServer(this.clock);
  readonly pcs: FakePeerConnection[] = [];
  readonly room: Room;
  readonly sessions: Sessions;
  readonly broken: string[] = [];

  constructor(config: Record<string, unknown> = {}, endpointId = "a1b2c3d4") {
    this.server.stream.connect();
    this.server.login();
    this.server.bind(`${endpointId}-77aa-4f10-9c55-0e6a2a3b9d01@meet.example.com/Qw3rTy`);
    const own = {
      name: "",
      sources: {},
      raisedHand: 0,
      codecs: [],
      capsVersion: "",
      statsId: "",
      region: undefined,
    };
    const { stream } = this.server;
    this.room = new Room(
      { stream, clock: this.clock, roomJid: ROOM, endpointId, hiddenDomain: undefined },
      own,
    );
    this.room.focusJid = "focus@auth.meet.example.com";
    this.sessions = new Sessions({
      stream,
      clock: this.clock,
      config: readConfig(config, PAGE),
      room: this.room,
      endpointId,
      newPeerConnection: () => {
        const pc = new FakePeerConnection();
        this.pcs.push(pc);
        return pc.asReal();
      },
      iceServers: () => [],
      codecs: [],
    });
    this.sessions.on("broken", (e) => this.broken.push(e.condition));
    this.occupant("focus", "focus@auth.meet.example.com/focus");
    this.occupant(endpointId, stream.jid);
    void this.sessions.setTracks(TRACKS);
  }

  occupant(nick: string, jid = `${nick}-1@meet.example.com/r`, inner = ""): void {
    this.room.handle(
      parse(
        `<presence xmlns="jabber:client" from="${ROOM}/${nick}"><x xmlns="${NS.mucUser}"><item role="participant" jid="${jid}"/></x>${inner}</presence>`,
      ),
    );
    this.sessions.onRoster();
  }

  /** Somebody who says what can be decoded. */
  decoder(nick: string, codecs: string): void {
    const list = `<jitsi_participant_codecList>${codecs}</jitsi_participant_codecList>`;
    this.occupant(nick, `${nick}-1@meet.example.com/r`, list);
  }

  gone(nick: string): void {
    this.room.handle(parse(`<presence xmlns="jabber:client" type="unavailable" from="${ROOM}/${nick}"/>`));
    this.sessions.onRoster();
  }

  async handle(xml: string): Promise<XmlElement | undefined> {
    const reply = this.sessions.handleIq(parse(xml.trim()));
    await this.clock.advance(1);
    return reply;
  }

  jingles(action?: string): { to: string; jingle: Jingle; xml: string; id: string }[] {
    return this.server.socket.sent.flatMap((e) => {
      const element = child(e, "jingle", NS.jingle);
      if (element === undefined) return [];
      const jingle = parseJingle(element);
      if (action !== undefined && jingle.action !== action) return [];
      return [{ to: e.attrs["to"] ?? "", jingle, xml: serialize(element), id: e.attrs["id"] ?? "" }];
    });
  }

  async reply(id: string, error = ""): Promise<void> {
    const inner = error === "" ? "" : `<error type="cancel"><${error} xmlns="${NS.stanzas}"/></error>`;
    const type = error === "" ? "result" : "error";
    this.server.socket.receive(`<iq xmlns="jabber:client" type="${type}" id="${id}">${inner}</iq>`);
    await this.clock.advance(1);
  }

  /** Takes the recorded offer and lets the focus accept the answer. */
  async bridge(): Promise<FakePeerConnection> {
    await this.handle(fixture("bridge-offer.xml"));
    const accept = this.jingles("session-accept").at(-1);
    if (accept === undefined) throw new Error("no accept");
    await this.reply(accept.id);
    const pc = this.pcs.at(-1);
    if (pc === undefined) throw new Error("no peer connection");
    return pc;
  }

  names(): string[] {
    return this.sessions.remoteTracks().map((t) => t.source.name);
  }
}
