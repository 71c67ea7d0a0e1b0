// The conference request over HTTP: what the server says about a refusal reaches the user.
import { afterEach, describe, expect, it, vi } from "vitest";
import { explain } from "../src/model/explain";
import type { ProtocolError } from "../src/protocol/errors";
import { requestConferenceByHttp } from "../src/protocol/services";

const REQUEST = {
  roomJid: "@c.example",
  machineUid: "u",
  sessionId: undefined,
  token: undefined,
  properties: {},
};

async function refused(
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): Promise<ProtocolError> {
  vi.stubGlobal("fetch", async () => new Response(body, { status, headers: { "Content-Type": type } }));
  const asked = requestConferenceByHttp("https://m.example/conference-request/v1", "", REQUEST);
  return (await asked.catch((error: unknown) => error)) as ProtocolError;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("a refused conference request", () => {
  it("carries the server's words, and no advice that cannot help", async () => {
    const error = await refused(400, "Bad request: the room is not a valid room address\n");
    expect(error).toMatchObject({ code: "conference-request-failed", condition: "400" });
    expect(explain(error)).toEqual({
      title: "The meeting could not be started.",
      hint: "The server says: “the room is not a valid room address”",
    });
  });

  it("does not show pages of things in between, nor endless text", async () => {
    const page = await refused(502, "<html><h1>Bad Gateway</h1></html>", "text/html");
    expect(explain(page).hint).toBe("Try again in a moment.");
    expect((await refused(503, "x".repeat(5_000))).detail).toHaveLength(300);
  });

  it("asks for another session when this one is not known", async () => {
    expect(await refused(400, "invalid-session")).toMatchObject({ condition: "session-invalid" });
    expect(await refused(400, '{"error":"invalid-session"}', "application/json")).toMatchObject({
      condition: "session-invalid",
    });
  });
});
