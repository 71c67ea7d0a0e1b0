// Where the pictures go and how large each must be received.

import type { ReceiverConstraints } from "../protocol/bridge-channel";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly tile: Size;
}

const ASPECT = 16 / 9;

/** The arrangement of `count` tiles that makes each as large as possible in the given space. */
export function fitGrid(count: number, space: Size, gap: number): Grid {
  let best: Grid = { columns: 1, rows: Math.max(1, count), tile: { width: 0, height: 0 } };
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(Math.max(1, count) / columns);
    const cellWidth = (space.width - gap * (columns - 1)) / columns;
    const cellHeight = (space.height - gap * (rows - 1)) / rows;
    if (cellWidth <= 0 || cellHeight <= 0) continue;
    // A tile may be somewhat squarer or wider than a picture, which is then cut at its edges.
    const width = Math.min(cellWidth, cellHeight * ASPECT * 1.1);
    const height = Math.min(cellHeight, (cellWidth / ASPECT) * 1.45);
    if (width * height > best.tile.width * best.tile.height * 1.001) {
      best = { columns, rows, tile: { width: Math.floor(width), height: Math.floor(height) } };
    }
  }
  return best;
}

const STEPS = [180, 360, 720, 1080, 2160] as const;
const SCREEN_HEIGHT = 2160;

/** The height to ask for to fill a tile of this many device pixels. */
export function requestHeight(pixels: number, limit: number): number {
  // A picture a little smaller than its tile is not seen, one of four times the pixels costs a lot.
  const step = STEPS.find((s) => s >= pixels * 0.8) ?? STEPS[STEPS.length - 1];
  return Math.min(step ?? limit, limit);
}

export interface VisibleSource {
  readonly name: string;
  /** Height of its tile in device pixels. */
  readonly pixels: number;
  readonly onStage: boolean;
  readonly screen: boolean;
}

/**
 * What to ask the bridge for.
 *
 * @param allVisible whether everybody has a tile; if not, sources without one are not wanted
 * @param limit highest frame the user allows
 */
export function receiverConstraints(
  visible: readonly VisibleSource[],
  allVisible: boolean,
  lastN: number,
  limit: number,
): ReceiverConstraints {
  const constraints: Record<string, { maxHeight: number }> = {};
  for (const source of visible) {
    // A shared screen has one size; asking for less than that could mean getting nothing.
    const maxHeight = source.screen ? SCREEN_HEIGHT : requestHeight(source.pixels, limit);
    constraints[source.name] = { maxHeight };
  }
  return {
    lastN,
    onStageSources: visible.filter((s) => s.onStage).map((s) => s.name),
    selectedSources: [],
    defaultConstraints: { maxHeight: allVisible ? Math.min(180, limit) : 0 },
    constraints,
  };
}

export interface Ranked {
  readonly key: string;
  readonly local: boolean;
  readonly screen: boolean;
  /** Position among the most recent speakers, 0 for the current one; undefined if never. */
  readonly spoke: number | undefined;
  readonly handRaised: boolean;
}

/**
 * Chooses which tiles to show when there is room for `limit`, without moving those that stay: the order is
 * that of `tiles`, and only who is left out depends on who spoke.
 */
export function chooseVisible(tiles: readonly Ranked[], limit: number): string[] {
  if (tiles.length <= limit) return tiles.map((t) => t.key);
  const rank = (t: Ranked): number =>
    t.screen ? -3 : t.local ? -2 : t.handRaised ? -1 : (t.spoke ?? Number.POSITIVE_INFINITY);
  const chosen = new Set(
    tiles
      .map((tile, index) => ({ tile, index }))
      .sort((a, b) => compare(rank(a.tile), rank(b.tile)) || a.index - b.index)
      .slice(0, Math.max(1, limit))
      .map(({ tile }) => tile.key),
  );
  return tiles.filter((t) => chosen.has(t.key)).map((t) => t.key);
}

function compare(a: number, b: number): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
