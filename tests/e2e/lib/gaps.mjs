// How long a page is without a new picture, and what became of its connections meanwhile.

/** In the page: notes when a new frame of anybody else was shown, and what becomes of its connections. */
export function observe() {
    const counts = new WeakMap();
    const log = (...words) => globalThis.noted.push([ Date.now(), words.join(' ') ]);

    globalThis.shown = [];
    globalThis.noted = [];
    setInterval(() => {
        for (const video of document.querySelectorAll('[data-testid=tile][data-local=false] video')) {
            const count = video.getVideoPlaybackQuality().totalVideoFrames;

            // An element that plays another track counts from nothing again.
            if (count > 0 && count !== counts.get(video)) {
                globalThis.shown.push(Date.now());
            }
            counts.set(video, count);
        }
    }, 20);
    for (const event of [ 'online', 'offline' ]) {
        addEventListener(event, () => log(event));
    }
    navigator.connection?.addEventListener('change', () => log('connection changed'));
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...args) {
            super(...args);
            this.addEventListener('iceconnectionstatechange', () => log('ICE', this.iceConnectionState));
        }
    };
    globalThis.WebSocket = class extends WebSocket {
        constructor(...args) {
            super(...args);
            const what = new URL(this.url).pathname.split('/')[1];

            log(what, 'opening');
            for (const event of [ 'open', 'close' ]) {
                this.addEventListener(event, () => log(what, event));
            }
        }
    };
}

/** Longest time without a new picture in the page since `from`. */
export async function longestGap(page, from) {
    const { shown, now } = await page.evaluate(() => ({ shown: globalThis.shown, now: Date.now() }));

    return [ ...shown.filter(at => at >= from), now ]
        .reduce(([ gap, last ], at) => [ Math.max(gap, at - last), at ], [ 0, from ])[0];
}

/** What became of the connections of the page since `from`. */
export const story = async (page, from) => (await page.evaluate(() => globalThis.noted))
    .filter(([ at ]) => at >= from)
    .map(([ at, what ]) => `${at - from} ms ${what}`)
    .join(', ');
