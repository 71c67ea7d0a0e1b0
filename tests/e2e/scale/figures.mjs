// What the receivers of an event went without, as figures.

/** Of these milliseconds: half are at most p50, 95 of 100 at most p95. */
export function spread(values) {
    if (values.length === 0) {
        return null;
    }
    const sorted = [ ...values ].sort((a, b) => a - b);
    const at = q => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];

    return { p50: at(0.5), p95: at(0.95), max: sorted[sorted.length - 1] };
}

/** Events of one kind, and the pauses of everybody in the rooms they befell. */
export class Figures {
    constructor() {
        this.n = 0;
        this.audio = [];
        this.video = [];
        this.more = {};
    }

    /** One event: what each receiver went without, in milliseconds. */
    add(pauses) {
        this.n += 1;
        for (const { audio, video } of pauses) {
            if (audio !== null) {
                this.audio.push(audio);
            }
            if (video !== null) {
                this.video.push(video);
            }
        }
    }

    /** A further figure of the kind, of which the worst is told. */
    worst(name, value) {
        this.more[name] = Math.max(value, this.more[name] ?? 0);
    }

    /** A further figure of the kind, of which the last is told. */
    last(name, value) {
        this.more[name] = value;
    }

    toJSON() {
        return { n: this.n, audio_gap_ms: spread(this.audio), video_freeze_ms: spread(this.video), ...this.more };
    }
}
