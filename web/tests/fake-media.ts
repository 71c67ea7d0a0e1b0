// A peer connection whose browser is the test: it answers with a recorded description.

import { readSdp } from "../src/protocol/sdp";
import { fixture } from "./support";

class FakeSender {
  track: unknown = null;
  parameters = {
    encodings: [{ active: true }, { active: true }, { active: true }] as Record<string, unknown>[],
  };
  async replaceTrack(track: unknown): Promise<void> {
    // A browser names the new track only when it has it.
    await null;
    this.track = track;
  }
  getParameters(): unknown {
    return structuredClone(this.parameters);
  }
  async setParameters(parameters: { encodings: Record<string, unknown>[] }): Promise<void> {
    this.parameters = parameters;
  }
}

export interface FakeTransceiver {
  mid: string | null;
  direction: string;
  currentDirection: string | null;
  readonly kind: string;
  readonly sender: FakeSender;
  readonly receiver: {
    readonly track: { readonly id: string };
    getSynchronizationSources(): { readonly timestamp: number }[];
  };
  setCodecPreferences(): void;
}

export class FakeChannel {
  onopen: (() => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  send(data: string): void {
    this.sent.push(JSON.parse(data) as Record<string, unknown>);
  }
  close(): void {}
  open(): void {
    this.onopen?.();
  }
  receive(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) } as MessageEvent);
  }
}

export class FakePeerConnection {
  oniceconnectionstatechange: (() => void) | null = null;
  onicecandidate: ((event: { candidate: unknown }) => void) | null = null;
  iceConnectionState = "new";
  signalingState = "stable";
  localDescription: { type: string; sdp: string } | null = null;
  remoteDescription: { type: string; sdp: string } | null = null;
  readonly transceivers: FakeTransceiver[] = [];
  readonly channels: FakeChannel[] = [];
  readonly remotes: string[] = [];
  readonly candidates: unknown[] = [];

  asReal(): RTCPeerConnection {
    return this as unknown as RTCPeerConnection;
  }

  private transceiver(kind: string, mid: string | null): FakeTransceiver {
    const made: FakeTransceiver = {
      mid,
      kind,
      direction: "recvonly",
      currentDirection: null,
      sender: new FakeSender(),
      receiver: {
        track: { id: `track-${this.transceivers.length}` },
        getSynchronizationSources: () => (this.moving ? [{ timestamp: performance.now() }] : []),
      },
      setCodecPreferences() {},
    };
    this.transceivers.push(made);
    return made;
  }

  addTransceiver(kind: string, init: { direction: string }): FakeTransceiver {
    const made = this.transceiver(kind, null);
    made.direction = init.direction;
    return made;
  }

  createDataChannel(): FakeChannel {
    const channel = new FakeChannel();
    this.channels.push(channel);
    return channel;
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    this.remoteDescription = description;
    this.remotes.push(description.sdp);
    for (const section of readSdp(description.sdp)) {
      if (section.media === "application") continue;
      if (!this.transceivers.some((t) => t.mid === section.mid)) this.transceiver(section.media, section.mid);
    }
  }

  async createAnswer(): Promise<{ type: string; sdp: string }> {
    const sdp = fixture("answer.sdp");
    const hasData = this.remoteDescription?.sdp.includes("m=application") ?? false;
    return { type: "answer", sdp: hasData ? sdp : sdp.slice(0, sdp.indexOf("m=application")) };
  }

  async createOffer(): Promise<{ type: string; sdp: string }> {
    const sdp = fixture("answer.sdp").replaceAll("a=setup:active", "a=setup:actpass");
    // A session of two people has no data channel.
    return { type: "offer", sdp: sdp.slice(0, sdp.indexOf("m=application")) };
  }

  async setLocalDescription(description: { type: string; sdp: string }): Promise<void> {
    this.localDescription = description;
    this.transceivers.forEach((t, index) => {
      t.mid ??= String(index);
      t.currentDirection = t.direction;
    });
  }

  async addIceCandidate(candidate: unknown): Promise<void> {
    this.candidates.push(candidate);
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers;
  }

  /** Bytes that have come, in all. */
  bytes = 0;
  /** Whether pictures come of every source. */
  moving = false;
  /** When the newest picture came, if there was any. */
  picture: number | undefined;

  async getStats(): Promise<Map<string, unknown>> {
    return new Map([["CP1", { type: "candidate-pair", bytesReceived: this.bytes }]]);
  }

  getReceivers(): unknown[] {
    const timestamp = this.picture;
    const sources = timestamp === undefined ? [] : [{ timestamp }];
    return [{ track: { kind: "video" }, getSynchronizationSources: () => sources }];
  }

  setConfiguration(): void {}

  ice(state: string): void {
    this.iceConnectionState = state;
    this.oniceconnectionstatechange?.();
  }

  close(): void {
    this.signalingState = "closed";
  }
}
