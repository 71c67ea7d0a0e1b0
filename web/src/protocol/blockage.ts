// Why no media gets through, as far as the browser can tell: from what it measured of the paths it tried.

/** One way to the media server. */
export interface Door {
  readonly protocol: "udp" | "tcp";
  readonly host: string;
  readonly port: number;
}

export interface Blockage {
  /**
   * `browser`: it has no address to try from; `server`: it offers nothing to try, or answers and goes no further;
   * `network`: nothing comes back.
   */
  readonly why: "browser" | "server" | "network";
  /** What was tried. */
  readonly doors: readonly Door[];
}

type Entry = Record<string, unknown>;

/** An answer older than this, milliseconds, is one of before. */
const RECENT = 3_000;

function isAnswered(pair: Entry): boolean {
  if (!(Number(pair["bytesReceived"] ?? 0) > 0 || Number(pair["responsesReceived"] ?? 0) > 0)) return false;
  const last = pair["lastPacketReceivedTimestamp"];
  return typeof last !== "number" || Number(pair["timestamp"]) - last < RECENT;
}

/** Reads the statistics of a peer connection that does not connect. */
export function readBlockage(entries: readonly Entry[]): Blockage {
  const of = (type: string): Entry[] => entries.filter((e) => e["type"] === type);
  const doors = new Map<string, Door>();
  for (const candidate of of("remote-candidate")) {
    const { protocol, port } = candidate;
    const host = String(candidate["address"] ?? candidate["ip"] ?? "");
    if ((protocol !== "udp" && protocol !== "tcp") || typeof port !== "number") continue;
    doors.set(`${protocol} ${host} ${port}`, { protocol, host, port });
  }
  const answered = of("candidate-pair").some(isAnswered);
  const tried = [...doors.values()];
  if (answered || tried.length === 0) return { why: "server", doors: tried };
  return { why: of("local-candidate").length === 0 ? "browser" : "network", doors: tried };
}
