// The pictures: a grid of everybody, or one large picture with a strip of small ones.

import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { fitGrid, type Size } from "../../model/layout";
import type { Meeting, MeetingState } from "../../model/meeting";
import type { Tile } from "../../model/people";
import { texts } from "../../model/texts";
import { useSize } from "../hooks";
import { TileView } from "./tile";

const GAP = 8;
const MIN_TILE_AREA = 150 * 100;
const MAX_TILES = 25;
const STRIP_TILE: Size = { width: 176, height: 99 };

export interface StageProps {
  readonly meeting: Meeting;
  readonly state: MeetingState;
}

export function Stage({ meeting, state }: StageProps): JSX.Element {
  const staged = state.tiles.find((t) => t.key === state.stage);
  return staged === undefined ? (
    <GridView meeting={meeting} state={state} />
  ) : (
    <StageView meeting={meeting} state={state} staged={staged} />
  );
}

function pixels(height: number): number {
  return Math.round(height * Math.min(2, globalThis.devicePixelRatio || 1));
}

function isSpeaking(state: MeetingState, tile: Tile): boolean {
  return !tile.screen && tile.person.id === state.speaker && !tile.person.audioMuted;
}

function GridView({ meeting, state }: StageProps): JSX.Element {
  const [ref, size] = useSize<HTMLDivElement>();
  const limit = Math.max(2, Math.min(MAX_TILES, Math.floor((size.width * size.height) / MIN_TILE_AREA)));
  const tiles = meeting.stage.visibleTiles(state.tiles, limit);
  const grid = useMemo(() => fitGrid(tiles.length, size, GAP), [tiles.length, size]);
  const hidden = state.tiles.length - tiles.length;
  const keys = tiles.map((t) => t.key).join(" ");
  useEffect(() => {
    if (size.width === 0) return;
    meeting.reception.showTiles(new Map(tiles.map((t) => [t.key, pixels(grid.tile.height)])));
  }, [keys, grid, meeting]);
  return (
    <section class="grid" ref={ref} aria-label={texts.pictures.title} data-testid="grid">
      {size.width > 0 &&
        tiles.map((tile) => (
          <TileView
            key={tile.key}
            tile={tile}
            size={grid.tile}
            speaking={isSpeaking(state, tile)}
            onStage={false}
            onPin={() => meeting.stage.pin(tile.key)}
          />
        ))}
      {hidden > 0 && <p class="grid-more">{texts.pictures.more(hidden)}</p>}
    </section>
  );
}

function StageView({ meeting, state, staged }: StageProps & { staged: Tile }): JSX.Element {
  const [ref, size] = useSize<HTMLDivElement>();
  const rest = state.tiles.filter((t) => t.key !== staged.key);
  const limit = Math.max(1, Math.min(MAX_TILES, Math.floor(Math.max(size.width, size.height) / 110)));
  const strip = state.stripShown ? meeting.stage.visibleTiles(rest, limit) : [];
  const keys = strip.map((t) => t.key).join(" ");
  useEffect(() => {
    if (size.height === 0) return;
    const shown = new Map(strip.map((t) => [t.key, pixels(STRIP_TILE.height)]));
    shown.set(staged.key, pixels(size.height));
    meeting.reception.showTiles(shown);
  }, [keys, staged.key, size.height, meeting]);
  return (
    <section class="stage-view" aria-label={texts.pictures.title} data-testid="stage">
      <div class="stage" ref={ref}>
        <TileView
          key={staged.key}
          tile={staged}
          speaking={isSpeaking(state, staged)}
          onStage
          onPin={() => meeting.stage.toggleView()}
        />
      </div>
      {strip.length > 0 && (
        <div class="strip">
          {strip.map((tile) => (
            <TileView
              key={tile.key}
              tile={tile}
              size={STRIP_TILE}
              speaking={isSpeaking(state, tile)}
              onStage={false}
              onPin={() => meeting.stage.pin(tile.key)}
            />
          ))}
        </div>
      )}
    </section>
  );
}
