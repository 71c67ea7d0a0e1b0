// Suggestions for room names: easy to say, hard to guess.

const HOW = [
  "calm",
  "bright",
  "quick",
  "quiet",
  "brave",
  "gentle",
  "lively",
  "steady",
  "clear",
  "warm",
  "swift",
  "early",
];
const COLOURS = [
  "amber",
  "azure",
  "coral",
  "green",
  "indigo",
  "ivory",
  "olive",
  "silver",
  "violet",
  "copper",
];
const WHAT = [
  "bridge",
  "harbour",
  "river",
  "lantern",
  "meadow",
  "island",
  "falcon",
  "otter",
  "maple",
  "comet",
  "ferry",
  "tide",
];

function pick(list: readonly string[]): string {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  return list[random % list.length] ?? "";
}

export function suggestRoom(): string {
  const [number = 0] = crypto.getRandomValues(new Uint16Array(1));
  return `${pick(HOW)}-${pick(COLOURS)}-${pick(WHAT)}-${100 + (number % 900)}`;
}
