// Which simulcast layers a camera source has and which of them are sent.

/** Highest bit rate of a layer, lowest layer first, in bits per second. */
const LAYER_BITRATES = [200_000, 500_000, 1_700_000] as const;
const PEER_BITRATE = 2_500_000;
const DESKTOP_BITRATE = 2_500_000;

export interface Encoding {
  readonly active: boolean;
  readonly scaleResolutionDownBy: number;
  readonly maxBitrate: number;
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
 */
export function cameraEncodings(signalled: number, height: number, maxHeight: number): Encoding[] {
  const used = Math.min(signalled, layerCount(height));
  return Array.from({ length: signalled }, (_, index) => {
    const scale = index < used ? 2 ** (used - 1 - index) : 1;
    const layerHeight = height / scale;
    const wanted = maxHeight > 0 && (index === 0 || layerHeight <= maxHeight);
    return {
      active: index < used && wanted,
      scaleResolutionDownBy: scale,
      maxBitrate: LAYER_BITRATES[used === 1 ? 1 : index] ?? LAYER_BITRATES[2],
    };
  });
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
