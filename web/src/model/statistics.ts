// What the browser measured, for the page's own display and for whoever debugs a meeting.

import type { Conference } from "../protocol/conference";
import type { RemoteTrack } from "../protocol/peer-media";

export interface InboundVideo {
  readonly endpointId: string;
  readonly source: string;
  readonly ssrc: number;
  readonly framesDecoded: number;
  readonly width: number;
  readonly height: number;
  readonly packetsReceived: number;
  readonly codec: string;
}

export interface InboundAudio {
  readonly endpointId: string;
  readonly source: string;
  readonly totalAudioEnergy: number;
  readonly audioLevel: number;
  readonly packetsReceived: number;
}

export interface OutboundVideo {
  readonly ssrc: number;
  readonly framesEncoded: number;
  readonly width: number;
  readonly height: number;
  readonly active: boolean;
}

export interface Statistics {
  readonly p2p: boolean;
  readonly iceState: string;
  readonly connectionState: string;
  readonly roundTripMs: number | undefined;
  readonly inboundVideo: readonly InboundVideo[];
  readonly inboundAudio: readonly InboundAudio[];
  readonly outboundVideo: readonly OutboundVideo[];
  readonly outboundAudioPackets: number;
}

type Entry = Record<string, unknown>;

function num(entry: Entry | undefined, key: string): number {
  const value = entry?.[key];
  return typeof value === "number" ? value : 0;
}

/** Reads the statistics of the session in use. */
export async function collect(conference: Conference): Promise<Statistics> {
  const sessions = conference.sessions;
  const p2p = sessions?.usesPeer ?? false;
  const pc = (p2p ? sessions?.peer?.media.pc : sessions?.bridge?.media.pc) ?? undefined;
  const report = pc === undefined || pc.signalingState === "closed" ? undefined : await pc.getStats();
  const entries: Entry[] = [];
  report?.forEach((entry: Entry) => {
    entries.push(entry);
  });
  const byId = new Map(entries.map((e) => [e["id"], e]));
  const pair = byId.get(entries.find((e) => e["type"] === "transport")?.["selectedCandidatePairId"]);
  const rtt = num(pair, "currentRoundTripTime");
  const tracks = conference.remoteTracks();
  const outbound = entries.filter((e) => e["type"] === "outbound-rtp");
  return {
    p2p,
    iceState: pc?.iceConnectionState ?? "none",
    connectionState: pc?.connectionState ?? "none",
    roundTripMs: rtt > 0 ? rtt * 1000 : undefined,
    inboundVideo: tracks.filter((t) => t.source.media === "video").map((t) => video(t, entries, byId)),
    inboundAudio: tracks.filter((t) => t.source.media === "audio").map((t) => audio(t, entries)),
    outboundVideo: outbound
      .filter((e) => e["kind"] === "video")
      .map((e) => ({
        ssrc: num(e, "ssrc"),
        framesEncoded: num(e, "framesEncoded"),
        width: num(e, "frameWidth"),
        height: num(e, "frameHeight"),
        active: e["active"] === true,
      })),
    outboundAudioPackets: num(
      outbound.find((e) => e["kind"] === "audio"),
      "packetsSent",
    ),
  };
}

function inboundOf(track: RemoteTrack, entries: readonly Entry[]): Entry | undefined {
  const inbound = entries.filter((e) => e["type"] === "inbound-rtp" && e["kind"] === track.source.media);
  return (
    inbound.find((e) => e["ssrc"] === track.source.ssrc) ??
    inbound.find((e) => e["trackIdentifier"] === track.track.id)
  );
}

function video(
  track: RemoteTrack,
  entries: readonly Entry[],
  byId: ReadonlyMap<unknown, Entry>,
): InboundVideo {
  const entry = inboundOf(track, entries);
  return {
    endpointId: track.source.owner,
    source: track.source.name,
    ssrc: track.source.ssrc,
    framesDecoded: num(entry, "framesDecoded"),
    width: num(entry, "frameWidth"),
    height: num(entry, "frameHeight"),
    packetsReceived: num(entry, "packetsReceived"),
    codec: String(byId.get(entry?.["codecId"])?.["mimeType"] ?? ""),
  };
}

function audio(track: RemoteTrack, entries: readonly Entry[]): InboundAudio {
  const entry = inboundOf(track, entries);
  return {
    endpointId: track.source.owner,
    source: track.source.name,
    totalAudioEnergy: num(entry, "totalAudioEnergy"),
    audioLevel: num(entry, "audioLevel"),
    packetsReceived: num(entry, "packetsReceived"),
  };
}
