// Elements that play tracks.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { timings } from "../timings";

export interface VideoProps {
  readonly track: MediaStreamTrack | null;
  readonly mirrored?: boolean;
  readonly contain?: boolean;
  readonly remote?: boolean;
  readonly label: string;
}

/** How long the picture of a replaced track stays while the new one has none, in milliseconds. */
const KEEP_OLD = 3_000;

/** Plays a track. When it is replaced by another, the old picture stays until the new one has its first frame. */
export function Video({ track, ...look }: VideoProps): JSX.Element {
  const [shown, setShown] = useState(track);
  const replacing = track !== null && shown !== null && track !== shown;
  useLayoutEffect(() => {
    if (!replacing) setShown(track);
  }, [track, replacing]);
  useEffect(() => {
    if (!replacing) return undefined;
    const timer = setTimeout(() => setShown(track), KEEP_OLD);
    return () => clearTimeout(timer);
  }, [track, replacing]);
  const current = replacing ? shown : track;
  return (
    <>
      <Player key={current?.id ?? ""} track={current} {...look} />
      {replacing && (
        <Player key={track.id} track={track} {...look} hidden onPicture={() => setShown(track)} />
      )}
    </>
  );
}

interface PlayerProps extends VideoProps {
  readonly hidden?: boolean;
  readonly onPicture?: () => void;
}

function Player({
  track,
  mirrored = false,
  contain = false,
  remote = false,
  label,
  hidden = false,
  onPicture,
}: PlayerProps): JSX.Element {
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
  const classes = [
    "video",
    mirrored && "mirrored",
    contain && "contain",
    track === null && "empty",
    hidden && "waiting",
  ];
  return (
    <video
      ref={ref}
      class={classes.filter(Boolean).join(" ")}
      aria-label={label}
      aria-hidden={hidden}
      onLoadedData={onPicture}
      autoplay
      playsinline
      muted
    />
  );
}

export interface AudioProps {
  readonly track: MediaStreamTrack;
  readonly sink: string;
  /** The browser does not play over this speaker. */
  readonly onSinkFailed: () => void;
  /** The browser wants a click before it plays sound. */
  readonly onBlocked: () => void;
  /** Changes when the user has clicked. */
  readonly attempt: number;
}

/** Where a page may choose the speaker; not every browser lets it. */
type SinkElement = HTMLAudioElement & { readonly sinkId?: string; setSinkId?(id: string): Promise<void> };

export function Audio({ track, sink, onSinkFailed, onBlocked, attempt }: AudioProps): JSX.Element {
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
    const audio = ref.current as SinkElement | null;
    if (audio === null || (audio.sinkId ?? "") === sink) return;
    audio.setSinkId?.(sink).catch(onSinkFailed);
  }, [sink]);
  // biome-ignore lint/a11y/useMediaCaption: live speech has no caption track
  return <audio ref={ref} autoplay />;
}
