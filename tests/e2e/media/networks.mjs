// Networks that let little through, and networks that change: what people get in them.

import { longestGap, observe, story } from '../lib/gaps.mjs';
import { received, sample, until } from '../lib/media.mjs';

/** Both ways between somebody with an open network and somebody who can only reach 443/tcp of others. */
async function udpBlocked(context) {
    const { far } = context.hosts;
    const pages = [];

    far.confineToTcp(443);
    try {
        pages.push(await context.enter('near', 'blocked', 'Open'), await context.enter('far', 'blocked', 'Confined'));
        const moving = ({ video }) => Object.values(video).some(({ frames }) => frames > 0);

        for (const page of pages) {
            if (await until(page, moving, 60_000) === undefined) {
                throw new Error('no pictures within a minute');
            }
        }
        const from = Date.now();

        await pages[0].waitForTimeout(context.seconds * 1_000);
        const all = await Promise.all(pages.map(page => received(page, from)));

        return {
            fps: all.map(({ videos }) => videos[0]?.fps ?? 0),
            audio_concealed: Math.max(...all.map(({ audioConcealed }) => audioConcealed))
        };
    } finally {
        await context.leave(pages);
        far.unconfine();
    }
}

/** The machine of one of two gets another address in the call: how long each is without a new picture. */
async function address(context, t) {
    const { near } = context.hosts;
    const before = near.address;
    const pages = [];

    try {
        const init = [ sample, observe ];

        pages.push(await context.enter('senders', 'walk', 'Stays', { init }), await context.enter('near', 'walk', 'Moves', { init }));
        const moving = ({ video }) => Object.values(video).some(({ frames }) => frames > 0);

        for (const page of pages) {
            if (await until(page, moving, 60_000) === undefined) {
                throw new Error('no pictures within a minute');
            }
        }
        await pages[0].waitForTimeout(5_000);
        const from = Date.now();

        near.moveTo(before.replace(/\d+$/, '103'));
        await pages[0].waitForTimeout(Math.max(15, context.seconds / 2) * 1_000);
        const [ stays, moves ] = await Promise.all(pages.map(page => longestGap(page, from)));

        t.diagnostic(`who moved: ${await story(pages[1], from)}`);
        t.diagnostic(`who stayed: ${await story(pages[0], from)}`);

        return { gap_s: moves / 1_000, gap_of_who_stayed_s: stays / 1_000 };
    } finally {
        await context.leave(pages);
        near.moveTo(before);
    }
}

export const cases = { udp_blocked: udpBlocked, address };
