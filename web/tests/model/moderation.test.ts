// Knocks and what moderators do.
import { describe, expect, it } from "vitest";
import { Moderation } from "../../src/model/moderation";
import { Value } from "../../src/model/observable";
import { RoomSettings } from "../../src/model/room-settings";
import type { Roster } from "../../src/model/roster";
import { View } from "../../src/model/view";
import { Ground } from "../fake-conference";

class World extends Ground {
  sounds = 0;
  readonly view = new View();
  readonly room = new RoomSettings(this.link, this.notices, this.clock);
  readonly moderation = new Moderation({
    link: this.link,
    notices: this.notices,
    view: this.view,
    roster: { state: new Value({ people: [], tiles: [], moderator: true }) } as unknown as Roster,
    room: this.room,
    knockSound: () => {
      this.sounds += 1;
    },
  });

  knock(...names: string[]): void {
    this.conference.tell(
      "knockers",
      names.map((name) => ({ id: name.toLowerCase(), realJid: "", name })),
    );
  }

  press(testid: string): void {
    const action = this.notices.list
      .get()
      .flatMap((n) => n.actions)
      .find((a) => a.testid === testid);
    if (action === undefined) throw new Error(`no button ${testid}`);
    action.run();
  }
}

describe("a knock", () => {
  it("stays until it is answered, with a name, two buttons and one sound", async () => {
    const world = new World();
    world.conference.enter();
    world.knock("Cleo");
    await world.clock.advance(600_000);
    expect(world.texts()).toEqual(["Cleo asks to join"]);
    expect(world.notices.list.get()[0]?.actions.map((a) => a.label)).toEqual(["Refuse", "Let in"]);
    expect(world.sounds).toBe(1);
    world.press("knock-admit");
    expect(world.conference.asked).toContainEqual(["admit", "cleo"]);
    expect(world.texts()).toEqual([]);
  });

  it("can be refused there", () => {
    const world = new World();
    world.conference.enter();
    world.knock("Cleo");
    world.press("knock-refuse");
    expect(world.conference.asked).toContainEqual(["reject", "cleo"]);
  });

  it("of several people is one notice that names them and leads to the list", () => {
    const world = new World();
    world.conference.enter();
    world.knock("Cleo");
    world.knock("Cleo", "Dan", "Eve", "Fay", "Gil");
    expect(world.texts()).toEqual(["Cleo, Dan, Eve and 2 more ask to join"]);
    world.press("knock-see");
    expect(world.view.state.get().panel).toBe("people");
    world.press("knock-admit");
    expect(world.conference.asked.filter(([what]) => what === "admit")).toHaveLength(5);
  });

  it("is withdrawn when the person goes, and does not ring for those who are known", () => {
    const world = new World();
    world.conference.enter();
    world.knock("Cleo", "Dan");
    world.knock("Cleo");
    expect(world.texts()).toEqual(["Cleo asks to join"]);
    expect(world.sounds).toBe(1);
    world.knock();
    expect(world.texts()).toEqual([]);
    expect(world.moderation.state.get().knockers).toEqual([]);
  });

  it("that was put away comes back only for somebody new", () => {
    const world = new World();
    world.conference.enter();
    world.knock("Cleo", "Dan");
    world.notices.dismiss(world.notices.list.get()[0]?.id ?? 0);
    world.knock("Cleo");
    expect(world.texts()).toEqual([]);
    world.knock("Cleo", "Eve");
    expect(world.texts()).toEqual(["Cleo and Eve ask to join"]);
  });

  it("is forgotten with the stay", () => {
    const world = new World();
    world.conference.enter();
    world.knock("Cleo");
    world.conference.forget();
    expect(world.texts()).toEqual([]);
  });
});

describe("a password", () => {
  it("is remembered once the server has taken it, not before", async () => {
    const world = new World();
    const room = world.conference.enter();
    room.allowed = false;
    await world.moderation.lock("s3cret");
    expect(world.room.password).toBeUndefined();
    expect(world.texts()).toEqual(["The server did not let you change the password."]);
    room.allowed = true;
    await world.moderation.lock("s3cret");
    expect(world.room.password).toBe("s3cret");
    expect(world.conference.asked).toContainEqual(["password", "s3cret"]);
    await world.moderation.lock("");
    expect(world.room.password).toBeUndefined();
  });
});
