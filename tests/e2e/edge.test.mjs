// The edges of the client: devices, links, names, codecs, and a way in without WebSockets.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join as path } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { proxyWithoutUpgrade } from './lib/proxy.mjs';
import { decodes, inRoom, join, shows } from './lib/room.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

let server, browser, base, port, framing;

before(async () => {
    const [ https, http, xmpp, udp ] = [ await freeTcpPort(), await freeTcpPort(), await freeTcpPort(), await freeUdpPort() ];

    port = https;
    framing = await freeTcpPort();
    base = `https://localhost:${https}`;
    server = pontoon(
        [ 'up', '--https', https, '--http', http, '--xmpp', xmpp, '--udp', udp,
            '--set', 'client.codecs=H264,VP8', '--set', 'client.prejoin=true',
            '--set', `front.embed_origins=https://localhost:${framing}` ].map(String));
    await server.line(new RegExp(`:${https}/`));
    browser = await launch({ args: [ '--use-fake-device-for-media-stream=device-count=3' ] });
});

after(async () => {
    await browser?.close();
    assert.equal(await server?.stop(), 0, 'SIGTERM ends the server in order');
});

/** A page of its own, as a visitor with nothing stored. */
async function visitor({ init } = {}) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });

    if (init) {
        await context.addInitScript(init);
    }

    return context.newPage();
}

/** Fills the page before the meeting and enters. */
async function enter(page, name) {
    await page.fill('[data-testid=prejoin-name]', name);
    await page.click('[data-testid=prejoin-join]');
    await inRoom(page);
}

async function enterRoom(room, name, options) {
    const page = await visitor(options);

    await page.goto(`${base}/${room}#config.p2p.enabled=false&config.resolution=180`);
    await enter(page, name);

    return page;
}

/** Labels of the microphone and camera whose tracks are sent to the bridge. */
function sent(page) {
    return page.evaluate(() => {
        const senders = globalThis.pontoon.meeting.conference.sessions?.bridge?.media.pc.getSenders() ?? [];

        return senders.flatMap(({ track }) => track ? [ track.label ] : []).sort();
    });
}

async function sends(page, labels) {
    await page.waitForFunction(
        wanted => {
            const senders = globalThis.pontoon.meeting.conference.sessions?.bridge?.media.pc.getSenders() ?? [];
            const found = senders.flatMap(({ track }) => track ? [ track.label ] : []).sort();

            return JSON.stringify(found) === JSON.stringify(wanted);
        },
        [ ...labels ].sort(),
        { timeout: 20_000 }).catch(async error => {
        throw new Error(`sent: ${await sent(page)}, wanted: ${labels}`, { cause: error });
    });
}

test('the chosen camera and microphone are sent, chosen before the meeting and in it', async () => {
    const other = await enterRoom('devices', 'Ann');
    const page = await visitor();

    await page.goto(`${base}/devices#config.p2p.enabled=false`);
    await page.waitForSelector('[data-testid=select-camera]:not([disabled])');
    // The one between, fake_device_1, measures depth: nobody can encode that.
    await page.selectOption('[data-testid=select-camera]', { label: 'fake_device_2' });
    await page.selectOption('[data-testid=select-microphone]', { label: 'Fake Audio Input 1' });
    await enter(page, 'Ben');
    await sends(page, [ 'fake_device_2', 'Fake Audio Input 1' ]);
    await decodes(other, 1);

    await page.click('[data-testid=more]');
    await page.click('[data-testid=settings]');
    for (const [ camera, microphone ] of [ [ 'fake_device_0', 'Fake Audio Input 2' ], [ 'fake_device_2', 'Fake Audio Input 1' ] ]) {
        await page.selectOption('[data-testid=select-camera]', { label: camera });
        await page.selectOption('[data-testid=select-microphone]', { label: microphone });
        await sends(page, [ camera, microphone ]);
        await decodes(other, 1);
    }

    await page.reload();
    await page.waitForSelector('[data-testid=select-camera]:not([disabled])');
    assert.equal(
        await page.locator('[data-testid=select-camera]').evaluate(list => list.selectedOptions[0].textContent),
        'fake_device_2', 'remembered');
    await Promise.all([ page, other ].map(one => one.context().close()));
});

test('a camera that goes away is replaced and that is said', async () => {
    const other = await enterRoom('lost', 'Ann');
    const page = await enterRoom('lost', 'Ben');

    await page.click('[data-testid=more]');
    await page.click('[data-testid=settings]');
    await page.selectOption('[data-testid=select-camera]', { label: 'fake_device_1' });
    await sends(page, [ 'fake_device_1', 'Fake Default Audio Input' ]);
    await page.keyboard.press('Escape');
    await page.evaluate(() => {
        // The fake devices of the browser cannot be pulled out: play what it does then.
        const { mediaDevices } = navigator;
        const list = mediaDevices.enumerateDevices.bind(mediaDevices);
        const open = mediaDevices.getUserMedia.bind(mediaDevices);
        const { videoTrack } = globalThis.pontoon.meeting.media.state.get();
        const gone = videoTrack.getSettings().deviceId;

        mediaDevices.enumerateDevices = async () => (await list()).filter(device => device.deviceId !== gone);
        mediaDevices.getUserMedia = async wanted => {
            if (wanted.video?.deviceId?.exact === gone) {
                throw new DOMException('', 'OverconstrainedError');
            }

            return open(wanted);
        };
        globalThis.plugInAgain = () => {
            mediaDevices.enumerateDevices = list;
            mediaDevices.getUserMedia = open;
            mediaDevices.dispatchEvent(new Event('devicechange'));
        };
        videoTrack.stop();
        videoTrack.dispatchEvent(new Event('ended'));
        mediaDevices.dispatchEvent(new Event('devicechange'));
    });
    await page.waitForSelector('[data-testid=notice]:has-text("“fake_device_1” was disconnected. “fake_device_0” is used now.")');
    await sends(page, [ 'fake_device_0', 'Fake Default Audio Input' ]);
    await decodes(other, 1);
    await page.evaluate(() => globalThis.plugInAgain());
    await page.click('[data-testid=notice]:has-text("“fake_device_1” is back.") >> [data-testid=use-device]');
    await sends(page, [ 'fake_device_1', 'Fake Default Audio Input' ]);
    await Promise.all([ page, other ].map(one => one.context().close()));
});

test('a link alone neither enters nor renames for good, and sets no servers', async () => {
    const page = await visitor();
    const link = [
        'config.prejoinConfig.enabled=false', 'config.p2p.stunServers=[{"urls":"stun:evil.example"}]',
        'config.websocket="wss://evil.example/x"', 'userInfo.displayName="Mallory"' ].join('&');

    await page.goto(`${base}/link#${link}`);
    await page.waitForSelector('[data-testid=prejoin-join]');
    assert.equal(await page.inputValue('[data-testid=prejoin-name]'), 'Mallory', 'for this visit');
    const [ stun, socket ] = await page.evaluate(() => {
        const { p2pStunServers, webSocketUrl } = globalThis.pontoon.meeting.options.config;

        return [ JSON.stringify(p2pStunServers), webSocketUrl ];
    });

    assert.doesNotMatch(stun, /evil/);
    assert.match(socket, new RegExp(`^wss://localhost:${port}/`));
    await page.click('[data-testid=prejoin-join]');
    await inRoom(page);
    await page.goto('about:blank');
    await page.goto(`${base}/link`);
    await page.waitForSelector('[data-testid=prejoin-join]');
    assert.equal(await page.inputValue('[data-testid=prejoin-name]'), '', 'not remembered');
    await page.context().close();
});

test('a site that the operator names may lead into the meeting without a click, in a frame or by a link', async () => {
    const pem = name => readFileSync(path(server.stateDir, name));
    const link = `${base}/embedded#config.prejoinConfig.enabled=false&config.p2p.enabled=false&userInfo.displayName="Ann"`;
    const html = `<a href='${link}'>meet</a><iframe src='${link}' allow="camera; microphone"></iframe>`;
    const site = createServer({ key: pem('web-key.pem'), cert: pem('web-certificate.pem') }, (_, answer) => {
        // Our address is told only where the page that shows us wants it.
        answer.writeHead(200, { 'Content-Type': 'text/html', 'Referrer-Policy': 'origin' });
        answer.end(html);
    });
    const other = await freeTcpPort();

    try {
        site.listen(framing, '127.0.0.1');
        await once(site, 'listening');
        const page = await visitor();

        await page.goto(`https://localhost:${framing}/`);
        const frame = () => page.frames().find(one => one.url().startsWith(base));

        await page.waitForFunction(() => document.querySelector('iframe'));
        for (let tries = 0; frame() === undefined; tries++) {
            assert.ok(tries < 80, 'the frame is shown');
            await page.waitForTimeout(250);
        }
        await frame().waitForFunction(() => globalThis.pontoon?.state().page === 'room');
        await page.click('a');
        await page.waitForURL(`${base}/embedded**`);
        await inRoom(page);
        await page.context().close();

        // Another site: neither its frame nor its link.
        site.close();
        site.closeAllConnections();
        site.listen(other, '127.0.0.1');
        await once(site, 'listening');
        const stranger = await visitor();

        await stranger.goto(`https://localhost:${other}/`);
        await stranger.click('a');
        await stranger.waitForSelector('[data-testid=prejoin-join]');
        await stranger.context().close();
    } finally {
        site.close();
        site.closeAllConnections();
    }
});

test('names: a slash at the end is none, tenants are remembered, other servers and no names are said', async () => {
    const page = await visitor();

    await page.goto(`${base}/slash/`);
    await page.waitForSelector('[data-testid=prejoin-join]');
    assert.equal(new URL(page.url()).pathname, '/slash');
    await enter(page, 'Ann');
    const other = await enterRoom('slash', 'Ben');

    await shows(other, [ 'Ann' ]);
    await other.context().close();

    await page.goto(`${base}/acme/Stand-up/`);
    await enter(page, 'Ann');
    await page.goto(base);
    await page.waitForSelector('[data-testid=recent]');
    assert.deepEqual(
        await page.locator('[data-testid=recent]').evaluateAll(links => links.map(a => new URL(a.href).pathname)),
        [ '/acme/Stand-up', '/slash' ]);

    for (const [ typed, words ] of [
        [ 'https://meet.jit.si/Standup', 'another server, meet.jit.si' ], [ '!!!', 'no letter or digit' ],
        [ '汉'.repeat(120), 'too long' ], [ 'http-bind', 'address of the server itself' ] ]) {
        await page.fill('[data-testid=room-input]', typed);
        await page.click('[data-testid=room-go]');
        await page.waitForSelector(`[data-testid=room-problem]:has-text("${words}")`);
        assert.equal(new URL(page.url()).pathname, '/', typed);
    }
    assert.equal(await page.evaluate(() => document.activeElement?.dataset.testid), 'room-input');

    await page.goto(`${base}/!!!`);
    await page.waitForSelector('[data-testid=room-problem]:has-text("no letter or digit")');
    await page.context().close();
});

test('nobody is sent a codec that they cannot decode', async () => {
    const codecOf = page => page.evaluate(async () => {
        // The offer may still be on its way.
        const report = await globalThis.pontoon.meeting.conference.sessions.bridge?.media.pc.getStats() ?? new Map();
        const all = [ ...report.values() ];
        const used = all.filter(s => s.type === 'outbound-rtp' && s.kind === 'video' && s.codecId).map(s => s.codecId);

        return [ ...new Set(used.map(id => report.get(id).mimeType)) ].join();
    });
    const sendsIn = (page, codec) => assert.doesNotReject(async () => {
        for (let tries = 0; await codecOf(page) !== codec; tries++) {
            assert.ok(tries < 120, `sends ${await codecOf(page)}, not ${codec}`);
            await page.waitForTimeout(250);
        }
    });
    const ann = await enterRoom('codecs', 'Ann');
    const ben = await enterRoom('codecs', 'Ben');

    await Promise.all([ ann, ben ].map(page => sendsIn(page, 'video/H264')));
    const cem = await enterRoom('codecs', 'Cem', {
        init: () => {
            const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);

            RTCRtpReceiver.getCapabilities = kind => {
                const found = all(kind);

                return { ...found, codecs: found.codecs.filter(c => c.mimeType !== 'video/H264') };
            };
        }
    });

    await Promise.all([ ann, ben ].map(page => sendsIn(page, 'video/VP8')));
    await decodes(cem, 2);
    await cem.context().close();
    await Promise.all([ ann, ben ].map(page => sendsIn(page, 'video/H264')));
    await Promise.all([ ann, ben ].map(page => page.context().close()));
});

test('behind a proxy that knows no WebSockets people meet all the same', async () => {
    const pem = name => readFileSync(path(server.stateDir, name));
    const proxy = await proxyWithoutUpgrade(port, { key: pem('web-key.pem'), cert: pem('web-certificate.pem') });

    try {
        const direct = await enterRoom('proxy', 'Ann');
        const page = await visitor();

        await page.goto(`https://localhost:${proxy.port}/proxy#config.p2p.enabled=false&config.resolution=180`);
        await enter(page, 'Ben');
        await shows(page, [ 'Ann' ]);
        await shows(direct, [ 'Ben' ]);
        await Promise.all([ page, direct ].map(one => decodes(one, 1)));
        assert.ok(proxy.refused.length > 0, 'a WebSocket was tried');
        await page.click('[data-testid=toggle-chat]');
        await page.fill('[data-testid=chat-input]', 'over plain requests');
        await page.click('[data-testid=chat-send]');
        await direct.click('[data-testid=toggle-chat]');
        await direct.waitForSelector('[data-testid=chat-message]:has-text("over plain requests")');
        await page.click('[data-testid=leave]');
        await shows(direct, []);
        await Promise.all([ page, direct ].map(one => one.context().close()));
    } finally {
        proxy.stop();
    }
});

/** What has the keyboard focus: a test id, else a class. */
const focused = page => page.evaluate(() => {
    const { activeElement } = document;

    return activeElement?.dataset.testid ?? activeElement?.className ?? '';
});

const focuses = (page, wanted) => page.waitForFunction(
    what => {
        const { activeElement } = document;

        return (activeElement?.dataset.testid ?? activeElement?.className) === what;
    },
    wanted,
    { timeout: 15_000 }).catch(async error => {
    throw new Error(`the focus is on ${await focused(page)}, not on ${wanted}`, { cause: error });
});

/** A message that comes while something covers the page can be put away with the mouse and with the keyboard. */
async function toastsCanBeReached(page, cover) {
    const toast = '[data-testid=notice][data-key="for the test"]';
    const onToast = () => page.evaluate(which => document.activeElement?.matches(`${which} [data-testid=notice-dismiss]`), toast);
    const say = () => page.evaluate(() => globalThis.pontoon.meeting.notices.show('for the test', { sticky: true }));

    await say();
    await page.click(`${toast} >> [data-testid=notice-dismiss]`);
    await page.waitForSelector(toast, { state: 'detached' });
    await say();
    await page.waitForSelector(toast);
    for (let n = 0; !await onToast(); n++) {
        assert.ok(n < 40, 'Tab leads to it');
        await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    await page.waitForSelector(toast, { state: 'detached' });
    assert.ok(await page.evaluate(
        id => document.querySelector(`[data-testid=${id}]`).contains(document.activeElement), cover), 'the focus is back');
}

test('panels and dialogs take the keyboard focus and give it back', async () => {
    const page = await enterRoom('focus', 'Ann');
    const other = await enterRoom('focus', 'Ben');

    await shows(page, [ 'Ben' ]);
    await focuses(page, 'room');
    await page.keyboard.press('c');
    await focuses(page, 'chat-input');
    await page.keyboard.press('Escape');
    await focuses(page, 'room');

    await page.focus('[data-testid=toggle-chat]');
    await page.keyboard.press('Enter');
    await focuses(page, 'chat-input');
    await page.keyboard.press('Escape');
    await focuses(page, 'toggle-chat');

    // From one panel into the other: what opened the first is gone then.
    await page.focus('[data-testid=toggle-people]');
    await page.keyboard.press('Enter');
    await page.click('[data-testid=write-person]');
    await focuses(page, 'chat-input');
    await page.keyboard.press('Escape');
    await page.waitForSelector('[data-testid=chat-panel]', { state: 'detached' });
    assert.notEqual(await focused(page), '', 'not nowhere');

    await page.focus('[data-testid=more]');
    await page.keyboard.press('Enter');
    await page.click('[data-testid=settings]');
    await focuses(page, 'settings-name');
    await toastsCanBeReached(page, 'settings-dialog');
    await page.keyboard.press('Escape');
    await focuses(page, 'more');

    // Where a panel covers the page, Tab stays in it.
    await page.setViewportSize({ width: 390, height: 760 });
    await page.focus('[data-testid=toggle-chat]');
    await page.keyboard.press('Enter');
    await focuses(page, 'chat-input');
    for (let n = 0; n < 6; n++) {
        await page.keyboard.press('Tab');
        assert.ok(await page.evaluate(
            () => document.querySelector('[data-testid=chat-panel]').contains(document.activeElement)), `Tab ${n}`);
    }
    await toastsCanBeReached(page, 'chat-panel');
    await Promise.all([ page, other ].map(one => one.context().close()));
});

test('who is removed is told by whom, and very long names leave everything in its place', async () => {
    const ann = await enterRoom('removed', 'Ann');
    const ben = await enterRoom('removed', 'Ben');
    const long = await enterRoom('removed', 'W'.repeat(80));

    await long.evaluate(() => globalThis.pontoon.meeting.conference.setName(`\u202e${'Wide '.repeat(400)}`));
    await ann.waitForSelector('[data-testid=tile][data-local=false]:has-text("Wide Wide")');
    await ann.click('[data-testid=toggle-people]');
    await ann.waitForSelector('[data-testid=person]:has-text("Wide Wide")');
    assert.equal(
        await ann.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, 'nothing sticks out');
    for (const id of [ 'leave', 'toggle-people' ]) {
        const box = await ann.locator(`[data-testid=${id}]`).boundingBox();

        assert.ok(box.x >= 0 && box.y + box.height <= 720, `${id} is on the screen`);
    }
    if (process.env.SCREENSHOTS) {
        await ann.screenshot({ path: `${process.env.SCREENSHOTS}/long-names.png` });
    }
    await ann.click('[data-testid=person]:has-text("Ben") >> [data-testid=kick-person]');
    await ben.waitForSelector('[data-testid=left-page]:has-text("Ann removed you from the meeting.")');
    assert.equal(await ben.textContent('[data-testid=rejoin]'), 'Join again');
    await Promise.all([ ann, ben, long ].map(page => page.context().close()));
});
