// Password and waiting room: what is shown is what holds, also after the server has forgotten the room.
import { describe, expect, it } from "vitest";
import { RoomSettings } from "../../src/model/room-settings";
import { Ground } from "../fake-conference";

const LOBBY = "standup@lobby.meet.example.com";

class World extends Ground {
  readonly room = new RoomSettings(this.link, this.notices, this.clock);

  /** Comes into a room and reads what holds for it. */
  stay(createdAt: number, locked: boolean, lobby: boolean, moderator = true) {
    const room = this.conference.enter();
    room.moderator = moderator;
    this.conference.tell("roster", undefined);
    this.conference.tell("config", { createdAt, locked, lobby: lobby ? LOBBY : undefined });
    return room;
  }
}

describe("room settings", () => {
  it("show what the room of this stay says, never what an earlier one said", () => {
    const world = new World();
    world.stay(1, true, true);
    expect(world.room.state.get()).toMatchObject({ locked: true, lobby: true, startedAt: 1 });
    world.conference.forget();
    expect(world.room.state.get()).toMatchObject({ locked: false, lobby: false, startedAt: undefined });
  });

  it("are set again by a moderator who comes back into a new room", async () => {
    const world = new World();
    world.room.password = "s3cret";
    world.stay(1, true, true);
    world.conference.forget();
    const room = world.stay(2, false, false);
    await world.clock.advance(0);
    expect(room.asked).toEqual([
      ["password", "s3cret"],
      ["lobby", true],
    ]);
    expect(world.texts()).toEqual(["The server had started anew. Password and waiting room are set again."]);
    expect(world.room.state.get().locked).toBe(false);
    world.conference.tell("config", { createdAt: 2, locked: true, lobby: LOBBY });
    expect(world.room.state.get().locked).toBe(true);
  });

  it("wait for the rights, which may come after the room", async () => {
    const world = new World();
    world.room.password = "s3cret";
    world.stay(1, true, false);
    world.conference.forget();
    const room = world.stay(2, false, false, false);
    await world.clock.advance(0);
    expect(room.asked).toEqual([]);
    room.moderator = true;
    world.conference.tell("roster", undefined);
    await world.clock.advance(0);
    expect(room.asked).toEqual([["password", "s3cret"]]);
  });

  it("are said to be gone when somebody else came first and has the rights", async () => {
    const world = new World();
    world.room.password = "s3cret";
    world.stay(1, true, true);
    world.conference.forget();
    const room = world.stay(2, false, false, false);
    await world.clock.advance(9_000);
    expect(world.texts()).toEqual([]);
    await world.clock.advance(1_000);
    expect(world.texts()).toEqual([
      "The server started anew, and the meeting has lost this: password and waiting room.",
    ]);
    // What holds since then is somebody else's choice.
    room.moderator = true;
    world.conference.tell("roster", undefined);
    await world.clock.advance(0);
    expect(room.asked).toEqual([]);
  });

  it("are left alone in the same room, where somebody may have changed them meanwhile", async () => {
    const world = new World();
    world.room.password = "s3cret";
    world.stay(1, true, true);
    world.conference.forget();
    const room = world.stay(1, false, false);
    await world.clock.advance(0);
    expect(room.asked).toEqual([]);
  });

  it("are not taken up by somebody who had no right to them, who is told that they are gone", async () => {
    const world = new World();
    world.room.password = "s3cret";
    world.stay(1, true, false, false);
    world.conference.forget();
    const room = world.stay(2, false, false, true);
    await world.clock.advance(0);
    expect(room.asked).toEqual([]);
    expect(world.texts()).toEqual(["The server started anew, and the meeting has lost this: the password."]);
  });

  it("say so when the server refuses them", async () => {
    const world = new World();
    world.stay(1, false, true);
    world.conference.forget();
    const room = world.stay(2, false, false, false);
    room.allowed = false;
    room.moderator = true;
    world.conference.tell("roster", undefined);
    await world.clock.advance(0);
    expect(world.texts()).toEqual([
      "The server started anew, and the meeting has lost this: the waiting room.",
    ]);
  });
});
