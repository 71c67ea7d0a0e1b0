// The JSON channel to the bridge, over an SCTP data channel or a WebSocket.

import type { Clock, Timer } from "./clock";
import { Emitter } from "./emitter";

/** What a receiver wants to get; the fields are those of the wire. */
export interface ReceiverConstraints {
  readonly lastN: number;
  readonly onStageSources: readonly string[];
  readonly selectedSources: readonly string[];
  readonly defaultConstraints: { readonly maxHeight: number };
  readonly constraints: Readonly<Record<string, { readonly maxHeight: number }>>;
}

export interface MappedSource {
  readonly source: string;
  readonly owner: string;
  readonly ssrc: number;
  readonly rtx: number | undefined;
  readonly videoType: string;
}

export interface EndpointMessage {
  readonly from: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface BridgeChannelEvents {
  open: undefined;
  closed: undefined;
  audioSources: readonly MappedSource[];
  videoSources: readonly MappedSource[];
  dominantSpeaker: {
    readonly endpoint: string;
    readonly previous: readonly string[];
    readonly silence: boolean;
  };
  forwardedSources: readonly string[];
  senderConstraints: { readonly sourceName: string; readonly maxHeight: number };
  connectivity: { readonly endpoint: string; readonly active: boolean };
  endpointMessage: EndpointMessage;
  endpointStats: EndpointMessage;
  bandwidth: number;
}

/** The part of a data channel or WebSocket that is used. */
export interface ChannelPort {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: string): void;
  close(): void;
}

const MAX_RETRY = 60_000;
/** How long an early port is listened to after the other one has opened: messages may be on their way. */
const EARLY_KEPT = 5_000;

export class BridgeChannel extends Emitter<BridgeChannelEvents> {
  isOpen = false;
  private port: ChannelPort | undefined;
  /** One that is open sooner, until the other one is. */
  private early: ChannelPort | undefined;
  /** The one to write to. */
  private ready: ChannelPort | undefined;
  private earlyTimer: Timer | undefined;
  private retryTimer: Timer | undefined;
  private retries = 0;
  private ended = false;
  private wanted: ReceiverConstraints | undefined;
  private readonly videoTypes = new Map<string, string>();
  private readonly clock: Clock;
  private readonly openPort: () => ChannelPort;
  private readonly reconnects: boolean;

  /**
   * @param reconnects whether a closed port is opened anew; a data channel lives with its session
   * @param openEarly opens a port that is there sooner and is used until the other one is open
   */
  constructor(openPort: () => ChannelPort, reconnects: boolean, clock: Clock, openEarly?: () => ChannelPort) {
    super();
    this.openPort = openPort;
    this.reconnects = reconnects;
    this.clock = clock;
    this.open();
    if (openEarly !== undefined) this.begin(openEarly());
  }

  /** The connection to the server had to be made anew: so has that of a port of its own. */
  renew(): void {
    if (!this.reconnects || this.ended) return;
    this.clock.clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.retries = 0;
    this.drop();
    this.open();
  }

  close(): void {
    this.ended = true;
    this.clock.clearTimeout(this.retryTimer);
    this.drop();
  }

  /** Says what to receive; repeated on every opening. */
  setReceiverConstraints(constraints: ReceiverConstraints): void {
    this.wanted = constraints;
    this.send("ReceiverVideoConstraints", { ...constraints });
  }

  /** Says what an own source shows: `camera`, `desktop` or `none`. */
  setVideoType(sourceName: string, videoType: string): void {
    if (this.videoTypes.get(sourceName) === videoType) return;
    this.videoTypes.set(sourceName, videoType);
    this.send("SourceVideoTypeMessage", { sourceName, videoType });
  }

  /** Sends application data to one endpoint, or to all with an empty `to`. */
  sendMessage(to: string, payload: Readonly<Record<string, unknown>>): void {
    this.send("EndpointMessage", { to, msgPayload: payload });
  }

  sendStats(stats: Readonly<Record<string, unknown>>): void {
    this.send("EndpointStats", stats);
  }

  private send(colibriClass: string, fields: Readonly<Record<string, unknown>>): void {
    if (!this.isOpen) return;
    try {
      this.ready?.send(JSON.stringify({ colibriClass, ...fields }));
    } catch (error) {
      console.warn("the bridge channel did not take a message", error);
    }
  }

  private open(): void {
    const port = this.openPort();
    this.port = port;
    this.listen(port, () => port === this.port);
    port.onclose = () => {
      if (port === this.port) this.onClosed();
    };
  }

  private begin(port: ChannelPort): void {
    this.early = port;
    this.listen(port, () => port === this.early);
    port.onclose = () => {
      if (port === this.early) this.endEarly();
    };
  }

  private listen(port: ChannelPort, current: () => boolean): void {
    port.onopen = () => {
      if (current() && (this.ready === undefined || port === this.port)) this.opened(port);
    };
    port.onmessage = (event) => {
      if (current() && typeof event.data === "string") this.receive(event.data);
    };
  }

  private opened(port: ChannelPort): void {
    const isFirst = !this.isOpen;
    this.ready = port;
    this.isOpen = true;
    this.retries = 0;
    for (const [sourceName, videoType] of this.videoTypes) {
      this.send("SourceVideoTypeMessage", { sourceName, videoType });
    }
    if (this.wanted !== undefined) this.send("ReceiverVideoConstraints", { ...this.wanted });
    if (port === this.port && this.early !== undefined) {
      this.earlyTimer = this.clock.setTimeout(() => this.endEarly(), EARLY_KEPT);
    }
    if (isFirst) this.emit("open", undefined);
  }

  private onClosed(): void {
    this.drop();
    if (this.ended || !this.reconnects) return;
    const wait = Math.min(MAX_RETRY, 1000 * 2 ** this.retries);
    this.retries += 1;
    this.retryTimer = this.clock.setTimeout(() => {
      this.retryTimer = undefined;
      this.open();
    }, wait);
  }

  private drop(): void {
    const { port } = this;
    this.port = undefined;
    end(port);
    this.endEarly();
    this.lose(port);
  }

  private endEarly(): void {
    const { early } = this;
    this.clock.clearTimeout(this.earlyTimer);
    this.early = undefined;
    end(early);
    this.lose(early);
  }

  /** A port has ended. */
  private lose(port: ChannelPort | undefined): void {
    if (port === undefined || port !== this.ready) return;
    this.ready = undefined;
    this.isOpen = false;
    this.emit("closed", undefined);
  }

  /** Takes one message of the bridge. What is malformed or unknown is ignored. */
  private receive(data: string): void {
    let message: unknown;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (!isRecord(message)) return;
    switch (message["colibriClass"]) {
      case "AudioSourcesMap":
        this.emit("audioSources", mappedSources(message["mappedSources"]));
        break;
      case "VideoSourcesMap":
        this.emit("videoSources", mappedSources(message["mappedSources"]));
        break;
      case "DominantSpeakerEndpointChangeEvent":
        this.emit("dominantSpeaker", {
          endpoint: stringOf(message["dominantSpeakerEndpoint"]),
          previous: stringsOf(message["previousSpeakers"]),
          silence: message["silence"] === true,
        });
        break;
      case "ForwardedSources":
        this.emit("forwardedSources", stringsOf(message["forwardedSources"]));
        break;
      case "SenderSourceConstraints":
        if (typeof message["maxHeight"] === "number") {
          this.emit("senderConstraints", {
            sourceName: stringOf(message["sourceName"]),
            maxHeight: message["maxHeight"],
          });
        }
        break;
      case "EndpointConnectivityStatusChangeEvent":
        this.emit("connectivity", {
          endpoint: stringOf(message["endpoint"]),
          active: message["active"] === true || message["active"] === "true",
        });
        break;
      case "EndpointMessage":
        if (isRecord(message["msgPayload"])) {
          this.emit("endpointMessage", { from: stringOf(message["from"]), payload: message["msgPayload"] });
        }
        break;
      case "EndpointStats":
        this.emit("endpointStats", { from: stringOf(message["from"]), payload: message });
        break;
      case "ConnectionStats":
        if (typeof message["estimatedDownlinkBandwidth"] === "number") {
          this.emit("bandwidth", message["estimatedDownlinkBandwidth"]);
        }
        break;
    }
  }
}

function end(port: ChannelPort | undefined): void {
  if (port === undefined) return;
  port.onopen = null;
  port.onmessage = null;
  port.onclose = null;
  port.close();
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function stringOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((v): v is string => typeof v === "string") : [];
}

function mappedSources(value: unknown): MappedSource[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((raw: unknown) => {
    if (!isRecord(raw)) return [];
    const { source, owner, ssrc, rtx, videoType } = raw;
    if (typeof source !== "string" || typeof owner !== "string" || typeof ssrc !== "number") return [];
    if (!Number.isInteger(ssrc) || ssrc <= 0 || ssrc > 0xffffffff) return [];
    const hasRtx = typeof rtx === "number" && rtx > 0 && rtx <= 0xffffffff;
    return [
      {
        source,
        owner,
        ssrc,
        rtx: hasRtx ? rtx : undefined,
        videoType: stringOf(videoType).toLowerCase().startsWith("desktop") ? "desktop" : "camera",
      },
    ];
  });
}
