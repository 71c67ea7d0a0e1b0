// Coming in, being refused, being put out, coming again.
import { describe, expect, it } from "vitest";
import { Entry } from "../../src/model/entry";
import { RoomSettings } from "../../src/model/room-settings";
import { View } from "../../src/model/view";
import { ProtocolError } from "../../src/protocol/errors";
import { Ground } from "../fake-conference";

class World extends Ground {
  readonly view = new View();
  readonly room = new RoomSettings(this.link, this.notices, this.clock);
  readonly entry = new Entry({
    link: this.link,
    settings: this.settings,
    media: this.media,
    room: this.room,
    view: this.view,
    roomPath: "standup",
  });

  get state() {
    return this.entry.state.get();
  }

  refuse(code: ConstructorParameters<typeof ProtocolError>[0], lobby = ""): void {
    this.conference.tell("joinFailed", new ProtocolError(code, "", "", lobby));
  }
}

describe("the way in", () => {
  it("asks for a password, says that it was wrong, and closes the question once inside", () => {
    const world = new World();
    world.entry.join(" Ann ");
    expect(world.conference.asked).toEqual([["join", { name: "Ann" }]]);
    world.refuse("password-required");
    expect(world.view.state.get().dialog).toBe("password");
    expect(world.state.passwordWrong).toBe(false);
    world.entry.join("Ann", "guess");
    expect(world.conference.asked.at(-1)).toEqual(["join", { name: "Ann", password: "guess" }]);
    world.refuse("password-required");
    expect(world.state.passwordWrong).toBe(true);
    world.entry.join("Ann", "s3cret");
    world.conference.enter();
    expect(world.view.state.get().dialog).toBe("none");
    expect(world.room.password).toBe("s3cret");
  });

  it("leads through the waiting room", () => {
    const world = new World();
    world.entry.join("Ann");
    world.refuse("members-only", "standup@lobby.example.com");
    expect(world.view.state.get().dialog).toBe("knock");
    world.entry.knock("Ann");
    expect(world.conference.asked.at(-1)).toEqual(["knock", "Ann"]);
    world.conference.tell("knockDenied", undefined);
    expect(world.state.knocking).toBe("denied");
  });

  it("goes back to the page before for what is to be mended there, and out for the rest", () => {
    const world = new World();
    world.entry.join("");
    world.refuse("name-required");
    expect(world.state).toMatchObject({ page: "prejoin", problem: { title: expect.stringMatching(/name/) } });
    world.entry.join("Ann");
    world.refuse("room-full");
    expect(world.state).toMatchObject({ page: "left", problem: { title: "The meeting is full." } });
  });
});

describe("the way out", () => {
  it("says who put us out", () => {
    const world = new World();
    world.entry.join("Ann");
    world.conference.enter();
    world.view.togglePanel("chat");
    world.conference.tell("removed", { kind: "kicked", by: "Bob", reason: "bye" });
    expect(world.state).toMatchObject({
      page: "left",
      problem: { title: "Bob removed you from the meeting.", hint: expect.stringContaining("“bye”") },
    });
    expect(world.view.state.get().panel).toBe("none");
  });

  it("and back in makes another conference", async () => {
    const world = new World();
    world.entry.join("Ann");
    world.conference.enter();
    await world.entry.leave();
    expect(world.state).toMatchObject({ page: "left", problem: undefined });
    world.entry.rejoin();
    expect(world.conferences).toHaveLength(2);
    expect(world.conference.asked).toContainEqual(["join", { name: "Ann" }]);
    expect(world.state.page).toBe("room");
  });
});
