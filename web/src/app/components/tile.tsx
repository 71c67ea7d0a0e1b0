// One person, or one shared screen, in the room.

import type { JSX } from "preact";
import { hueOf, initials, type Tile } from "../../model/people";
import { texts } from "../../model/texts";
import { Icon } from "../icons";
import { Video } from "./video";

export interface TileProps {
  readonly tile: Tile;
  readonly speaking: boolean;
  readonly onStage: boolean;
  readonly size?: { readonly width: number; readonly height: number };
  readonly onPin: () => void;
}

export function TileView({ tile, speaking, onStage, size, onPin }: TileProps): JSX.Element {
  const { person, screen } = tile;
  const track = screen ? person.screenTrack : person.videoTrack;
  const who = person.local ? texts.pictures.you : person.name;
  const title = screen
    ? person.local
      ? texts.pictures.yourScreen
      : texts.pictures.screen(person.name)
    : who;
  const classes = ["tile", speaking && "speaking", screen && "screen", track === null && "no-video"];
  const states = [
    !screen && person.audioMuted && texts.pictures.muted,
    !screen && person.videoMuted && texts.pictures.cameraOff,
    person.handRaised && texts.pictures.handRaised,
    speaking && texts.pictures.speaking,
    person.connectionLost && "connection problems",
  ].filter(Boolean);
  return (
    <article
      class={classes.filter(Boolean).join(" ")}
      style={size === undefined ? undefined : { width: `${size.width}px`, height: `${size.height}px` }}
      aria-label={[title, ...states].join(", ")}
      data-testid={screen ? "screen-tile" : "tile"}
      data-endpoint-id={person.id}
      data-local={String(person.local)}
      data-audio-muted={String(person.audioMuted)}
      data-video-muted={String(person.videoMuted)}
      data-speaking={String(speaking)}
    >
      {/* Lies under the picture, so it is seen until there is one. */}
      {(track === null || !screen) && (
        <div class="avatar-area" aria-hidden="true">
          {screen ? (
            <Icon name="screen" size={48} />
          ) : (
            <span class="avatar" style={{ "--hue": String(hueOf(person.id)) }}>
              {initials(person.name)}
            </span>
          )}
        </div>
      )}
      <Video
        track={track}
        mirrored={person.local && !screen}
        contain={screen}
        remote={!person.local}
        label={texts.pictures.pictureOf(title)}
      />
      {person.connectionLost && <div class="tile-banner">{texts.connectionProblems}</div>}
      {person.videoPaused && !screen && !person.connectionLost && (
        <div class="tile-banner">{texts.pictures.paused}</div>
      )}
      {person.handRaised && !screen && (
        <span class="tile-hand" title={texts.pictures.handSign}>
          <Icon name="hand" size={18} />
        </span>
      )}
      <div class="tile-foot">
        {!screen && person.audioMuted && (
          <span class="tile-mute">
            <Icon name="micOff" size={15} />
          </span>
        )}
        <span class="tile-name">{title}</span>
      </div>
      <button
        type="button"
        class="tile-pin"
        aria-pressed={onStage}
        aria-label={onStage ? texts.pictures.unpin(title) : texts.pictures.pin(title)}
        onClick={onPin}
      >
        <Icon name="pin" size={18} />
      </button>
    </article>
  );
}
