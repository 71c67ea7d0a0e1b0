// Narrow, changing and lossy lines towards one receiver, and a narrow one from a sender.

import assert from 'node:assert/strict';

import { dropped, keyFrames, received, sending, until } from '../lib/media.mjs';

/** Delay of each way and the queue of every line here, milliseconds. */
const LINE = { delay_ms: 20, queue_ms: 250 };
/** Until then a line may be filled, milliseconds. */
const SETTLE = 3_000;

let rooms = 0;

/** Two senders and one who receives over the cable; `act` is done once pictures are there. */
async function meeting(context, act, { senders = [ 'senders', 'senders' ], receiver = 'far', height = 360 } = {}) {
    const room = `line-${rooms++}`;
    const pages = [];

    await context.freeCable();
    try {
        for (const [ n, host ] of senders.entries()) {
            pages.push(await context.enter(host, room, `Sender ${n}`, { height }));
        }
        const page = await context.enter(receiver, room, 'Receiver', { config: { startWithVideoMuted: true, startWithAudioMuted: true } });

        pages.push(page);
        const moving = sample => Object.values(sample.video).filter(({ frames }) => frames > 0).length >= senders.length;

        if (await until(page, moving, 60_000) === undefined) {
            throw new Error('no pictures within a minute');
        }

        return await act(page, room, pages);
    } finally {
        await context.leave(pages);
        await context.freeCable();
    }
}

/** Prints, if asked for, what the bridge says of who receives over a line. */
function tellWhy(context, t) {
    if (!process.env.MEDIA_WHY) {
        return;
    }
    for (const [ id, { line, ...rest } ] of Object.entries(context.insight())) {
        if (line.ideal > 0) {
            const { series, ...now } = line;

            t.diagnostic(`${id} ${JSON.stringify({ ...rest, ...now })}`);
            for (const { ago_ms, estimate, for_video, sent, taken, heights } of series.slice(-60)) {
                t.diagnostic(`${ago_ms} ms ago: ${[ estimate, for_video, sent, taken ].map(n => Math.round(n / 1000)).join(' ')} `
                    + heights.filter(Boolean).join(' '));
            }
        }
    }
}

/** What a receiver gets over a line that is as `down` says. */
function over(down) {
    return (context, t) => meeting(context, async page => {
        const { cable } = context.hosts.far;

        await cable.set({ down: { ...LINE, ...down }, up: { ...LINE } });
        await page.waitForTimeout(SETTLE);
        const before = await cable.counts();
        const from = Date.now();

        await page.waitForTimeout(context.seconds * 1_000);
        const after = await cable.counts();
        const { videos, audioConcealed } = await received(page, from);

        tellWhy(context, t);

        return {
            fps: videos.map(({ fps }) => fps),
            heights: videos.map(({ heights }) => heights),
            stalled: videos.map(({ stalled }) => stalled),
            kbps: videos.map(({ kbps }) => kbps),
            audio_concealed: audioConcealed,
            link_dropped: dropped(before.down, after.down)
        };
    });
}

/** 5 Mbit/s, then 500 kbit/s, then 5 Mbit/s again: how long until pictures are as high as before. */
function step(context) {
    return meeting(context, async page => {
        const { cable } = context.hosts.far;
        const wide = { down: { ...LINE, rate: 5_000_000 }, up: { ...LINE } };
        const heights = ({ video }) => Object.values(video).map(({ height }) => height);

        await cable.set(wide);
        await page.waitForTimeout(10_000);
        const full = Math.min(...heights(await page.evaluate(() => globalThis.samples[globalThis.samples.length - 1])));
        const narrowed = Date.now();

        await cable.set({ ...wide, down: { ...LINE, rate: 500_000 } });
        await page.waitForTimeout(context.seconds / 2 * 1_000);
        const released = Date.now();
        const { videos, audioConcealed } = await received(page, narrowed);

        await cable.set(wide);
        // Fresh pictures of the full height, of all senders.
        const before = await page.evaluate(() => globalThis.samples[globalThis.samples.length - 1]);
        const back = await until(page, newest => Object.entries(newest.video).every(([ id, { frames, height } ]) =>
            height >= full && frames > (before.video[id]?.frames ?? 0)), 40_000);

        return {
            recover_s: back === undefined ? null : (Date.now() - released) / 1_000,
            height: full,
            narrow: { fps: videos.map(({ fps }) => fps), stalled: videos.map(({ stalled }) => stalled), audio_concealed: audioConcealed }
        };
    });
}

/** A sender whose uplink carries 500 kbit/s: what a receiver with a good line gets of it. */
function up500(context, t) {
    return meeting(context, async (page, _room, [ sender ]) => {
        await context.hosts.far.cable.set({ down: { ...LINE }, up: { ...LINE, rate: 500_000 } });
        await page.waitForTimeout(SETTLE);
        const from = Date.now();

        await page.waitForTimeout(context.seconds * 1_000);
        const { videos: [ video ], audioConcealed } = await received(page, from);

        if (process.env.MEDIA_WHY) {
            (await sending(sender, from - SETTLE)).forEach(line => t.diagnostic(line));
        }

        return { ...video, audio_concealed: audioConcealed };
    }, { senders: [ 'far' ], receiver: 'near' });
}

/** What a receiver with a good line gets while another one has 300 kbit/s, beside what it got before. */
function others(context, t) {
    return meeting(context, async (far, room, pages) => {
        const page = await context.enter('near', room, 'Other', { config: { startWithVideoMuted: true, startWithAudioMuted: true } });
        const look = async () => {
            await page.waitForTimeout(SETTLE);
            const from = Date.now();

            await page.waitForTimeout(context.seconds * 1_000);
            const { videos, seconds } = await received(page, from);
            const sum = key => videos.reduce((all, video) => all + video[key], 0);

            return { fps: sum('fps'), kbps: sum('kbps'), key_frames_a_minute: Number((sum('keyFrames') * 60 / seconds).toFixed(1)) };
        };

        pages.push(page);
        const before = await look();

        const counted = context.counted();
        const from = Date.now();

        await context.hosts.far.cable.set({ down: { ...LINE, rate: 300_000 }, up: { ...LINE } });
        const beside = await look();

        tellWhy(context, t);
        if (process.env.MEDIA_WHY) {
            const now = Object.entries(context.counted()).map(([ name, count ]) => [ name, count - (counted[name] ?? 0) ]);

            t.diagnostic(`counted meanwhile: ${JSON.stringify(Object.fromEntries(now.filter(([ , count ]) => count > 0)))}`);
            t.diagnostic(`key frames after, ms: ${await keyFrames(page, from)}`);
        }

        return { before, beside_300: beside };
    });
}

/** What Chromium has of WARP: the association in the description, and DTLS inside of connectivity checks. */
const WARP = 'WebRTC-Sctp-Snap/Enabled/WebRTC-IceHandshakeDtls/Enabled/';
/** Pages that are loaded to find the middle one. */
const LOADS = 5;

/**
 * Seconds from the start of the load of a page to its first picture of somebody else, at this delay of each way. Nothing
 * of the page is cached.
 */
async function firstPicture(context, t, delay, trials = '') {
    const times = [];

    for (let n = 0; n < LOADS; n++) {
        const room = `line-${rooms++}`;
        const pages = [ await context.enter('senders', room, 'Sender') ];

        await context.hosts.far.cable.set({ down: { delay_ms: delay }, up: { delay_ms: delay } });
        pages.push(await context.enter('far', room, 'Newcomer', { trials, init: [] }));
        await pages[1].waitForFunction(() => globalThis.pontoon?.timings().firstRemoteFrame !== undefined, undefined, { timeout: 60_000 });
        const steps = await pages[1].evaluate(() => globalThis.pontoon.timings());

        t.diagnostic(`${2 * delay} ms round trip ${trials}: ${JSON.stringify(steps)}`);
        if (trials) {
            const transports = Object.values(context.insight()).map(({ transport }) => transport);
            const inChecks = transports.map(({ dtls_in_checks: count }) => count);

            // The sender's browser does not know of it.
            assert.equal(inChecks.filter(count => count > 0).length, 1, `a handshake in checks: ${inChecks}`);
            assert.equal(transports.filter(({ sctp_signalled: signalled }) => signalled).length, 1, 'none of SCTP');
        }
        times.push(steps.firstRemoteFrame);
        await context.leave(pages);
        await context.freeCable();
    }

    return Number((times.sort((a, b) => a - b)[Math.floor(LOADS / 2)] / 1_000).toFixed(2));
}

export const cases = {
    down700: over({ rate: 700_000 }),
    down300: over({ rate: 300_000 }),
    step,
    loss5: over({ loss: 0.05 }),
    loss20: over({ loss: 0.2 }),
    up500,
    others,
    first_picture_s: async (context, t) => ({
        rtt0: await firstPicture(context, t, 0),
        rtt100: await firstPicture(context, t, 50),
        warp100: await firstPicture(context, t, 50, WARP)
    })
};
