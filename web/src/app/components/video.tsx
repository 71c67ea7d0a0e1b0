// Elements that play tracks.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { timings } from "../timings";

export interface VideoProps {
  readonly track: MediaStreamTrack | null;
  readonly mirrored?: boolean;
  readonly contain?: boolean;
  readonly remote?: boolean;
  readonly label: string;
}

export function Video({
  track,
  mirrored = false,
  contain = false,
  remote = false,
  label,
}: VideoProps): JSX.Element {
  const ref = useRef<HTMLVideoElement>(null);
  useLayoutEffect(() => {
    const video = ref.current;
    if (video === null) return undefined;
    if (track === null) {
      video.srcObject = null;
      return undefined;
    }
    video.srcObject = new MediaStream([track]);
    // A muted video may always start by itself.
    video.play().catch(() => undefined);
    if (remote) video.requestVideoFrameCallback?.(() => timings.mark("firstRemoteFrame"));
    return () => {
      video.srcObject = null;
    };
  }, [track, remote]);
  const classes = ["video", mirrored && "mirrored", contain && "contain", track === null && "empty"];
  return (
    <video
      ref={ref}
      class={classes.filter(Boolean).join(" ")}
      aria-label={label}
      autoplay
      playsinline
      muted
    />
  );
}

export interface AudioProps {
  readonly track: MediaStreamTrack;
  readonly sink: string;
  /** The browser wants a click before it plays sound. */
  readonly onBlocked: () => void;
  /** Changes when the user has clicked. */
  readonly attempt: number;
}

export function Audio({ track, sink, onBlocked, attempt }: AudioProps): JSX.Element {
  const ref = useRef<HTMLAudioElement>(null);
  useEffect(() => {
    const audio = ref.current;
    if (audio === null) return;
    audio.srcObject = new MediaStream([track]);
  }, [track]);
  useEffect(() => {
    ref.current?.play().catch((error: unknown) => {
      if (error instanceof Error && error.name === "NotAllowedError") onBlocked();
    });
  }, [track, attempt]);
  useEffect(() => {
    const audio = ref.current as (HTMLAudioElement & { setSinkId?(id: string): Promise<void> }) | null;
    if (sink !== "") audio?.setSinkId?.(sink).catch(() => undefined);
  }, [sink]);
  // biome-ignore lint/a11y/useMediaCaption: live speech has no caption track
  return <audio ref={ref} autoplay />;
}
