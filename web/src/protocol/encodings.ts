// Which layers a camera source has and which of them are sent: simulcast, or one scalable stream (SVC).

/** Highest bit rate of a layer, lowest layer first, in bits per second. */
const LAYER_BITRATES = [200_000, 500_000, 1_700_000] as const;
const PEER_BITRATE = 2_500_000;
const DESKTOP_BITRATE = 2_500_000;

export interface Encoding {
  readonly active: boolean;
  readonly scaleResolutionDownBy: number;
  readonly maxBitrate: number;
  /** Spatial and temporal layers of the encoding, as W3C's webrtc-svc names them; undefined for the browser's choice. */
  readonly scalabilityMode?: string | undefined;
}

/** Highest bit rate of a scalable stream of one, two and three spatial layers, in bits per second. */
const SCALABLE_BITRATES: ReadonlyMap<string, readonly [number, number, number]> = new Map([
  ["vp9", [150_000, 450_000, 1_400_000]],
  ["av1", [120_000, 400_000, 1_200_000]],
]);
const SCALABILITY_MODES = ["L1T3", "L2T3_KEY", "L3T3_KEY"] as const;

/**
 * What each simulcast encoding has besides: of VP8 temporal layers, so that who has a narrow line is sent fewer frames
 * instead of none. Browsers leave them out unless asked.
 */
export function simulcastMode(codec: string): string | undefined {
  return codec === "vp8" ? "L1T3" : undefined;
}

/** Whether a codec is sent as one scalable stream to the bridge. */
export function isScalable(codec: string): boolean {
  return SCALABLE_BITRATES.has(codec);
}

/**
 * Whether a browser that takes no scalability modes sends all encodings of this codec as one scalable stream all the same, by
 * the first of them: libwebrtc does so with VP9.
 */
export function isOneStream(codec: string): boolean {
  return codec === "vp9";
}

/** How many layers are worth sending for a picture of this height. */
export function layerCount(height: number): number {
  if (height >= 540) return 3;
  return height >= 270 ? 2 : 1;
}

/**
 * The encodings of a camera source sent to the bridge.
 *
 * @param signalled how many layers were signalled
 * @param height of the captured picture
 * @param maxHeight highest frame any receiver wants; 0 stops the source
 * @param mode temporal layers of each, see {@link simulcastMode}
 */
export function cameraEncodings(
  signalled: number,
  height: number,
  maxHeight: number,
  mode?: string,
): Encoding[] {
  const used = Math.min(signalled, layerCount(height));
  return Array.from({ length: signalled }, (_, index) => {
    const scale = index < used ? 2 ** (used - 1 - index) : 1;
    const layerHeight = height / scale;
    const wanted = maxHeight > 0 && (index === 0 || layerHeight <= maxHeight);
    return {
      active: index < used && wanted,
      scaleResolutionDownBy: scale,
      maxBitrate: LAYER_BITRATES[used === 1 ? 1 : index] ?? LAYER_BITRATES[2],
      scalabilityMode: mode,
    };
  });
}

/**
 * The same as one scalable stream: in the first of the signalled encodings, as official clients do it. What nobody wants
 * is not encoded: the picture is scaled down, and the stream has fewer layers.
 *
 * @param modes whether the browser is told which layers, or chooses them itself
 */
export function scalableEncodings(
  signalled: number,
  height: number,
  maxHeight: number,
  codec: string,
  modes = true,
): Encoding[] {
  const most = Math.min(signalled, layerCount(height));
  let layers = most;
  while (layers > 1 && height / 2 ** (most - layers) > maxHeight) layers--;
  const bitrates = SCALABLE_BITRATES.get(codec) ?? LAYER_BITRATES;
  return Array.from({ length: signalled }, (_, index) => ({
    active: index === 0 && maxHeight > 0,
    scaleResolutionDownBy: 2 ** (most - layers),
    maxBitrate: bitrates[layers - 1] ?? LAYER_BITRATES[2],
    scalabilityMode: modes ? SCALABILITY_MODES[layers - 1] : undefined,
  }));
}

/** The single encoding of a camera source sent to one peer. */
export function peerEncoding(height: number, maxHeight: number): Encoding {
  return {
    active: maxHeight > 0,
    scaleResolutionDownBy: maxHeight > 0 ? Math.max(1, height / maxHeight) : 1,
    maxBitrate: PEER_BITRATE,
  };
}

/** The single encoding of a shared screen: its text must stay readable, so it is never scaled. */
export function desktopEncoding(maxHeight: number): Encoding {
  return { active: maxHeight > 0, scaleResolutionDownBy: 1, maxBitrate: DESKTOP_BITRATE };
}
