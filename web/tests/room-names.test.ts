// Which names are rooms. The examples are those of the server's own test.
import { describe, expect, it } from "vitest";
import { readPath, readTyped, roomName } from "../src/protocol/room-names";

interface Example {
  readonly segment: string;
  readonly times?: number;
  readonly name: string;
}

const shared = import.meta.glob<readonly Example[]>("../../crates/stanza/tests/room-names.json", {
  import: "default",
  eager: true,
});

describe("the names of rooms", () => {
  it("follow the same rule as on the server", () => {
    const examples = Object.values(shared).flat();
    expect(examples.length).toBeGreaterThan(0);
    for (const { segment, times = 1, name } of examples) {
      const found = roomName(segment.repeat(times));
      expect("name" in found ? found.name : `refused: ${found.problem}`, segment).toBe(name);
    }
  });

  it.each([
    ["/slash", "slash", "slash", "slash"],
    ["/slash/", "slash", "slash", "slash"],
    ["//slash//", "slash", "slash", "slash"],
    ["/acme/Stand-Up/", "acme/Stand-Up", "Stand-Up", "stand-up"],
    ["/Caf%C3%A9%20Ops", "Caf%C3%A9%20Ops", "Café Ops", "caf%c3%a9%20ops"],
    ["/100%", "100%", "100%", "100%25"],
  ])("%s is one room", (pathname, path, title, name) => {
    expect(readPath(pathname)).toEqual({ kind: "room", room: { path, title, name } });
  });

  it.each([
    ["/!!!", "empty"],
    [`/${"%C3%A9".repeat(300)}`, "long"],
    ["/http-bind", "reserved"],
    ["/a/b/c", "deep"],
    ["/assets/x", "tenant"],
    ["/a:b/c", "tenant"],
  ])("%s is none", (pathname, problem) => {
    expect(readPath(pathname)).toMatchObject({ kind: "refused", problem });
  });

  it("is none on the home page", () => {
    expect(readPath("/")).toEqual({ kind: "none" });
  });
});

describe("what is typed", () => {
  const read = (typed: string) => readTyped(typed, "meet.example:8443");
  const path = (typed: string) => {
    const found = read(typed);
    return found.kind === "room" ? found.room.path : found;
  };

  it.each([
    ["Standup", "Standup"],
    ["  Team meeting ", "Team-meeting"],
    ["acme/standup", "acme/standup"],
    ["Café", "Caf%C3%A9"],
    ["Caf%C3%A9", "Caf%C3%A9"],
    ["100%", "100%25"],
    ["what?", "what"],
    ["https://meet.example:8443/acme/standup?jwt=x#config.resolution=1", "acme/standup"],
    ["https://meet.example:8443/slash/", "slash"],
    ["meet.example:8443/standup", "standup"],
    ["v1.2", "v1.2"],
  ])("%s leads to /%s", (typed, expected) => {
    expect(path(typed)).toBe(expected);
  });

  it.each([
    ["https://meet.jit.si/Standup", "meet.jit.si", "https://meet.jit.si/Standup"],
    ["meet.jit.si/Standup#config.x=1", "meet.jit.si", "https://meet.jit.si/Standup#config.x=1"],
    ["http://meet.example/x", "meet.example", "http://meet.example/x"],
    ["//other.example/x", "other.example", "https://other.example/x"],
  ])("%s is a meeting elsewhere", (typed, host, url) => {
    expect(read(typed)).toEqual({ kind: "elsewhere", host, url });
  });

  it.each([
    ["!!!", "empty"],
    ["?#&", "empty"],
    ["https://", "empty"],
    ["a/b/c", "deep"],
    ["汉".repeat(120), "long"],
    ["Config.js", "reserved"],
  ])("%s is refused", (typed, problem) => {
    expect(read(typed)).toMatchObject({ kind: "refused", problem });
  });

  it("nothing is nothing", () => {
    expect(read("  ")).toEqual({ kind: "none" });
  });
});
