// What a page receives, sampled four times a second, and what that adds up to.

/** In the page: keeps its connections and samples what they receive. */
export function sample() {
    const connections = new Set();
    const number = value => value ?? 0;

    globalThis.samples = [];
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...args) {
            super(...args);
            connections.add(this);
        }
    };
    setInterval(async () => {
        const taken = { at: Date.now(), video: {}, audio: { concealed: 0, silent: 0, all: 0 }, sending: {} };

        for (const connection of connections) {
            if (connection.connectionState === 'closed') {
                connections.delete(connection);
                continue;
            }
            const report = await connection.getStats();

            for (const entry of report.values()) {
                if (entry.type === 'inbound-rtp' && entry.kind === 'video') {
                    taken.video[entry.trackIdentifier] = {
                        frames: number(entry.framesDecoded),
                        height: number(entry.frameHeight),
                        codec: report.get(entry.codecId)?.mimeType,
                        keyFrames: number(entry.keyFramesDecoded),
                        bytes: number(entry.bytesReceived)
                    };
                } else if (entry.type === 'inbound-rtp' && entry.kind === 'audio') {
                    taken.audio.concealed += number(entry.concealedSamples);
                    // Of silence, which is not sent, nothing is missed.
                    taken.audio.silent += number(entry.silentConcealedSamples);
                    taken.audio.all += number(entry.totalSamplesReceived);
                } else if (entry.type === 'outbound-rtp' && entry.kind === 'video') {
                    taken.sending[entry.ssrc] = {
                        height: entry.active ? number(entry.frameHeight) : 0,
                        frames: number(entry.framesEncoded),
                        bytes: number(entry.bytesSent) + number(entry.headerBytesSent),
                        again: number(entry.retransmittedBytesSent),
                        target: number(entry.targetBitrate),
                        why: entry.qualityLimitationReason
                    };
                } else if (entry.type === 'candidate-pair' && entry.nominated) {
                    taken.line = number(entry.availableOutgoingBitrate);
                    taken.sent = number(entry.bytesSent);
                }
            }
        }
        globalThis.samples.push(taken);
    }, 250);
}

/** Samples of the page from `from` to `to` (milliseconds of the clock). */
async function samplesOf(page, from, to) {
    const all = await page.evaluate(() => globalThis.samples);

    return all.filter(({ at }) => at >= from && at <= to);
}

const rounded = (value, digits) => Number(value.toFixed(digits));

/** What the page received from `from` to `to`: of each video, and of all audio together. */
export async function received(page, from, to = Date.now()) {
    const samples = await samplesOf(page, from, to);
    const [ first, last ] = [ samples[0], samples[samples.length - 1] ];
    const seconds = (last.at - first.at) / 1000;
    const ids = Object.keys(last.video).filter(id => last.video[id].bytes > 0);
    const videos = ids.map(id => {
        const series = samples.map(({ at, video }) => ({ at, ...video[id] ?? { frames: 0, height: 0, keyFrames: 0, bytes: 0 } }));
        const [ begin, end ] = [ series[0], series[series.length - 1] ];
        let stalled = 0;

        // A second without a new picture is a stall.
        let moved = series[0].at;

        series.forEach((now, n) => {
            if (n > 0 && now.frames > series[n - 1].frames) {
                stalled += now.at - moved > 1000 ? now.at - moved : 0;
                moved = now.at;
            }
        });
        stalled += end.at - moved > 1000 ? end.at - moved : 0;

        return {
            fps: rounded((end.frames - begin.frames) / seconds, 1),
            height: end.height,
            codec: end.codec,
            heights: series.filter((now, n) => n === 0 || now.height !== series[n - 1].height).map(({ height }) => height),
            keyFrames: end.keyFrames - begin.keyFrames,
            stalled: rounded(stalled / 1000 / seconds, 3),
            kbps: Math.round((end.bytes - begin.bytes) * 8 / 1000 / seconds)
        };
    });
    const audible = ({ audio }) => audio.concealed - audio.silent;
    const concealed = audible(last) - audible(first);

    return { seconds, videos, audioConcealed: rounded(concealed / Math.max(1, last.audio.all - first.audio.all), 4) };
}

/** What the page sent from `from` on, second by second, as lines for people: its estimate, all it sent, its layers, kbit/s. */
export async function sending(page, from) {
    const samples = await samplesOf(page, from, Date.now());
    const lines = [];

    for (let n = 4; n < samples.length; n += 4) {
        const [ before, now ] = [ samples[n - 4], samples[n] ];
        const kbps = (a = 0, b = 0) => Math.round((b - a) * 8 / (now.at - before.at));
        const layers = Object.entries(now.sending).map(([ ssrc, { height, frames, bytes, target, why } ]) => {
            const then = before.sending[ssrc];

            return `${height}p ${frames - (then?.frames ?? 0)} frames ${kbps(then?.bytes, bytes)} of ${Math.round(target / 1000)} ${why}`;
        });

        lines.push(`${now.at - from} ms: ${Math.round(now.line / 1000)} ${kbps(before.sent, now.sent)}: ${layers.join(', ')}`);
    }

    return lines;
}

/** When the page received key frames from `from` on, milliseconds after it, each with the heights before and after. */
export async function keyFrames(page, from) {
    const samples = await samplesOf(page, from, Date.now());

    return samples.flatMap(({ at, video }, n) => Object.entries(video).flatMap(([ id, now ]) => {
        const before = samples[n - 1]?.video[id];

        return before && now.keyFrames > before.keyFrames ? [ `${at - from} (${id.slice(0, 4)} ${before.height} ${now.height})` ] : [];
    })).join(', ');
}

/** Waits until what `right` says of the newest sample is true; milliseconds it took, or none within the time. */
export async function until(page, right, timeout) {
    const begun = Date.now();

    while (Date.now() - begun < timeout) {
        const newest = await page.evaluate(() => globalThis.samples[globalThis.samples.length - 1]);

        if (newest && right(newest)) {
            return Date.now() - begun;
        }
        await page.waitForTimeout(100);
    }

    return undefined;
}

/** Share of the frames that the cable's queue dropped between two counts of it. */
export function dropped(before, after) {
    return rounded((after.dropped - before.dropped) / Math.max(1, after.sent - before.sent), 4);
}
