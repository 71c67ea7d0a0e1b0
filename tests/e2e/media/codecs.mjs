// What each codec gives on stage: the height that is reached, and pictures a second there.

import { received, until } from '../lib/media.mjs';

const CODECS = [ 'VP8', 'VP9', 'AV1', 'H264' ];

/** Two people whose deployment prefers one codec; one has the other on stage. */
async function onStage(context, codec) {
    const deployment = `config.videoQuality = { ...config.videoQuality, codecPreferenceOrder: [ '${codec}' ] };`;
    const pages = [];

    try {
        for (const [ host, name ] of [ [ 'senders', 'Shown' ], [ 'near', 'Watches' ] ]) {
            pages.push(await context.enter(host, `codec-${codec}`, name, { deployment }));
        }
        const [ , page ] = pages;

        await page.click('[data-testid=tile][data-local=false]');
        const large = ({ video }) => Object.values(video).some(({ frames, height }) => frames > 0 && height >= 360);
        const reached = await until(page, large, 40_000);
        const from = Date.now();

        await page.waitForTimeout(context.seconds / 3 * 1_000);
        const { videos: [ video ] } = await received(page, from);

        return {
            codec: video?.codec ?? null,
            height: video?.height ?? 0,
            fps: video?.fps ?? 0,
            reached_s: reached === undefined ? null : reached / 1_000
        };
    } finally {
        await context.leave(pages);
    }
}

export const cases = {
    async codecs(context) {
        const results = {};

        for (const codec of CODECS) {
            results[codec.toLowerCase()] = await onStage(context, codec).catch(error => ({ error: error.message }));
        }

        return results;
    }
};
