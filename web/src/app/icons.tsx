// The icons, drawn on a 24 by 24 grid.

import type { JSX } from "preact";

const PATHS = {
  mic: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5 11a7 7 0 0 0 14 0M12 18v3M9 21h6",
  micOff:
    "M9 9v3a3 3 0 0 0 5.1 2.1M15 10.5V6a3 3 0 0 0-5.7-1.3M5 11a7 7 0 0 0 11.6 5.2M19 11a7 7 0 0 1-.6 2.8M12 18v3M9 21h6M3 3l18 18",
  camera:
    "M3 7.5A1.5 1.5 0 0 1 4.5 6h9A1.5 1.5 0 0 1 15 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 16.5ZM15 10.5l6-3.5v10l-6-3.5",
  cameraOff:
    "M9.5 6h4A1.5 1.5 0 0 1 15 7.5v4M15 16.5a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 16.5v-9A1.5 1.5 0 0 1 4.5 6M15 10.5l6-3.5v10l-4-2.3M3 3l18 18",
  screen:
    "M3 5.5A1.5 1.5 0 0 1 4.5 4h15A1.5 1.5 0 0 1 21 5.5v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 14.5ZM8 20h8M12 13V7.5M9.5 9.5 12 7l2.5 2.5",
  hand: "M7 12V6.5a1.5 1.5 0 0 1 3 0V11V4.5a1.5 1.5 0 0 1 3 0V11V5.5a1.5 1.5 0 0 1 3 0V12V8.5a1.5 1.5 0 0 1 3 0V14a7 7 0 0 1-7 7h-.6a6 6 0 0 1-4.6-2.2L3.6 15a1.6 1.6 0 0 1 2.4-2.1L7 14Z",
  chat: "M4 5.5A1.5 1.5 0 0 1 5.5 4h13A1.5 1.5 0 0 1 20 5.5v9a1.5 1.5 0 0 1-1.5 1.5H11l-4.5 4v-4h-1A1.5 1.5 0 0 1 4 14.5ZM8 8.5h8M8 11.5h5",
  people:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20a6.5 6.5 0 0 1 13 0M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.2a6.5 6.5 0 0 1 3.5 5.8",
  grid: "M4 4h7v7H4ZM13 4h7v7h-7ZM4 13h7v7H4ZM13 13h7v7h-7Z",
  stage: "M3 4h18v11H3ZM3 18h5v3H3ZM9.5 18h5v3h-5ZM16 18h5v3h-5Z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  leave:
    "M3 14.5c0-2 4-4.5 9-4.5s9 2.5 9 4.5c0 1.2-.4 2-1.4 2h-2.4c-.7 0-1.2-.5-1.2-1.2v-1.6a14 14 0 0 0-8 0v1.6c0 .7-.5 1.2-1.2 1.2H4.4c-1 0-1.4-.8-1.4-2Z",
  lock: "M6 11h12v9H6ZM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.2 1.2M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1.2-1.2",
  settings:
    "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM19.4 13.5l1.6 1.2-2 3.4-1.9-.8a7.6 7.6 0 0 1-2.6 1.5l-.3 2.2h-4l-.3-2.2a7.6 7.6 0 0 1-2.6-1.5l-1.9.8-2-3.4 1.6-1.2a7.6 7.6 0 0 1 0-3L3.4 9.3l2-3.4 1.9.8a7.6 7.6 0 0 1 2.6-1.5L10.2 3h4l.3 2.2a7.6 7.6 0 0 1 2.6 1.500l1.9-.8 2 3.4-1.6 1.200a7.6 7.6 0 0 1 0 3Z",
  keyboard: "M3 6h18v12H3ZM7 10h.01M11 10h.01M15 10h.01M8 14h8",
  expand: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  quality: "M4 20V14M10 20V10M16 20V6M22 20V3",
  pin: "M9 4h6l-1 6 3 3H7l3-3ZM12 13v7",
  close: "M6 6l12 12M18 6 6 18",
  send: "M4 12 20 4l-6 16-3-7Z",
  remove: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20a6.5 6.5 0 0 1 13 0M17 9l5 5M22 9l-5 5",
  crown: "M4 18h16M4 15 3 7l5 3 4-6 4 6 5-3-1 8Z",
  check: "M5 12.5 10 17 19 7",
  alert: "M12 4 2.5 20h19ZM12 10v4M12 17h.01",
  speaker: "M4 10v4h3l5 4V6l-5 4ZM16 9a4 4 0 0 1 0 6M18.5 6.500a8 8 0 0 1 0 11",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 22 }: { name: IconName; size?: number }): JSX.Element {
  const filled = name === "leave";
  return (
    <svg
      viewBox="0 0 24 24"
      width={size}
      height={size}
      fill={filled ? "currentColor" : "none"}
      stroke="currentColor"
      stroke-width={name === "more" ? 3 : 1.8}
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
