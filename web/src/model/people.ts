// People and their tiles, derived from what the conference knows.

import type { RemoteTrack } from "../protocol/peer-media";
import type { Occupant } from "../protocol/room";
import { texts } from "./texts";

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly local: boolean;
  readonly moderator: boolean;
  readonly audioMuted: boolean;
  readonly videoMuted: boolean;
  readonly handRaised: boolean;
  readonly sharing: boolean;
  readonly connectionLost: boolean;
  /** The bridge does not send this picture now, for want of bandwidth. */
  readonly videoPaused: boolean;
  readonly audioTrack: MediaStreamTrack | null;
  readonly videoTrack: MediaStreamTrack | null;
  readonly screenTrack: MediaStreamTrack | null;
  /** Names of the sources shown, for what to request. */
  readonly videoSource: string;
  readonly screenSource: string;
}

export interface Tile {
  /** `<endpoint>` for a camera, `<endpoint>/screen` for a screen. */
  readonly key: string;
  readonly person: Person;
  readonly screen: boolean;
}

/** Longer names are cut where they are shown, so that they do not push everything else away. */
const LONGEST_NAME = 80;
/** Line breaks, and marks that turn round the direction of what follows. */
const NOT_IN_NAMES = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu;

export function displayName(name: string): string {
  const trimmed = name.replace(NOT_IN_NAMES, " ").trim();
  const letters = Array.from(trimmed);
  if (letters.length > LONGEST_NAME) return `${letters.slice(0, LONGEST_NAME).join("")}…`;
  return trimmed === "" ? texts.nameless : trimmed;
}

/** Up to two letters for a person without a picture. */
export function initials(name: string): string {
  const words = displayName(name).replace(/\s*…$/u, "").split(/\s+/u);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : undefined].map((w) =>
    w === undefined ? "" : (Array.from(w)[0] ?? ""),
  );
  return letters.join("").toUpperCase();
}

/** A colour of the palette that stays the same for the same id. */
export function hueOf(id: string): number {
  let hash = 0;
  for (const c of id) hash = Math.imul(hash ^ c.charCodeAt(0), 0x9e3779b1) >>> 0;
  return (hash >>> 8) % 360;
}

/** A remote person, from presence and the tracks that arrive. */
export function remotePerson(
  occupant: Occupant,
  tracks: readonly RemoteTrack[],
  lost: boolean,
  paused: (source: string) => boolean,
): Person {
  const own = tracks.filter((t) => t.source.owner === occupant.id);
  const names = [...occupant.sources.keys()];
  const isScreen = (name: string): boolean => occupant.sources.get(name)?.videoType === "desktop";
  const muted = (name: string): boolean => occupant.sources.get(name)?.muted ?? true;
  const videoName = names.find((n) => /-v\d+$/.test(n) && !isScreen(n)) ?? `${occupant.id}-v0`;
  const screenName = names.find((n) => /-v\d+$/.test(n) && isScreen(n));
  const audioName = names.find((n) => /-a\d+$/.test(n)) ?? `${occupant.id}-a0`;
  const track = (name: string | undefined): MediaStreamTrack | null =>
    own.find((t) => t.source.name === name)?.track ?? null;
  const videoPaused = !muted(videoName) && paused(videoName);
  const sharing = screenName !== undefined && !muted(screenName);
  return {
    id: occupant.id,
    name: displayName(occupant.name),
    local: false,
    moderator: occupant.moderator,
    audioMuted: muted(audioName),
    videoMuted: muted(videoName),
    handRaised: occupant.raisedHand > 0,
    sharing,
    connectionLost: lost,
    videoPaused,
    audioTrack: track(audioName),
    videoTrack: muted(videoName) || videoPaused ? null : track(videoName),
    screenTrack: sharing ? track(screenName) : null,
    videoSource: videoName,
    screenSource: screenName ?? "",
  };
}

/** The tiles of people in order: shared screens first, then everybody. */
export function tilesOf(people: readonly Person[], withOwnScreen: boolean): Tile[] {
  const screens = people
    .filter((p) => p.sharing && (withOwnScreen || !p.local))
    .map((person) => ({ key: `${person.id}/screen`, person, screen: true }));
  return [...screens, ...people.map((person) => ({ key: person.id, person, screen: false }))];
}
