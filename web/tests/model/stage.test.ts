// What stands large.
import { describe, expect, it } from "vitest";
import { Value } from "../../src/model/observable";
import type { Person, Tile } from "../../src/model/people";
import type { Roster, RosterState } from "../../src/model/roster";
import { Stage } from "../../src/model/stage";
import { Ground } from "../fake-conference";

class World extends Ground {
  readonly people = new Value<RosterState>({ people: [], tiles: [], moderator: false });
  readonly stage = new Stage(this.link, { state: this.people } as unknown as Roster);

  here(...keys: string[]): Tile[] {
    const tiles = keys.map((key) => ({
      key,
      person: { id: key.replace("/screen", ""), local: key === "me" } as Person,
      screen: key.endsWith("/screen"),
    }));
    const people = tiles.filter((t) => !t.screen).map((t) => t.person);
    this.people.set({ tiles, people, moderator: false });
    return tiles;
  }

  speaks(endpoint: string): void {
    this.conference.tell("speaker", { endpoint, previous: [], silence: false });
  }

  get large(): string | undefined {
    return this.stage.state.get().stage;
  }
}

describe("the stage", () => {
  it("is empty until there is a screen or a choice, and again when they are gone", () => {
    const world = new World();
    world.here("me", "b", "c");
    expect(world.large).toBeUndefined();
    world.here("me", "b", "b/screen");
    expect(world.large).toBe("b/screen");
    world.stage.pin("b");
    expect(world.large).toBe("b");
    world.here("me", "c");
    world.stage.toggleView();
    expect(world.large).toBeUndefined();
  });

  it("follows who speaks in the stage view", () => {
    const world = new World();
    world.here("me", "b", "c");
    world.stage.toggleView();
    expect(world.large).toBe("b");
    world.speaks("c");
    expect(world.large).toBe("c");
  });

  it("forgets who spoke when the stay is over", () => {
    const world = new World();
    const tiles = world.here("me", "b", "c", "d");
    world.speaks("d");
    expect(world.stage.visibleTiles(tiles, 2).map((t) => t.key)).toEqual(["me", "d"]);
    world.conference.forget();
    expect(world.stage.state.get().speaker).toBe("");
    expect(world.stage.visibleTiles(tiles, 2).map((t) => t.key)).toEqual(["me", "b"]);
  });

  it("listens itself only while the connection is direct", () => {
    const world = new World();
    world.here("me", "b");
    world.stage.noteSpeaker("b");
    expect(world.stage.state.get().speaker).toBe("");
    world.conference.tell("peer", true);
    world.stage.noteSpeaker("b");
    expect(world.stage.state.get().speaker).toBe("b");
    world.conference.tell("peer", false);
    expect(world.stage.state.get().speaker).toBe("");
  });
});
