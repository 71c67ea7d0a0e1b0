// Records what Chromium sends of a codec, as a browser publishes it to a bridge: simulcast with temporal layers, or one
// scalable stream. The tests of the bridge forward these recordings and give what comes out to real decoders.
//
// node record.mjs FOLDER [codec ...]
//
// Two connections of one page talk to each other, with a key frame every 0.7 s. Chromium logs its packets in plaintext,
// which it can do for debugging. A recording is a line of text, `key=value` in any order, then packets: milliseconds
// since the first one (4 bytes, big endian), length (2 bytes), the RTP packet.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch } from './lib/browser.mjs';

const CODECS = [ 'VP8', 'VP9', 'AV1', 'H264' ];
const SECONDS = 5;
const DESCRIPTOR = 'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

/** In the page: publishes a moving picture for so many seconds, and says what is what in its packets. */
async function publish({ codec, seconds, descriptor }) {
    const canvas = Object.assign(document.createElement('canvas'), { width: 960, height: 540 });
    const context = canvas.getContext('2d');
    let frame = 0;
    const draw = setInterval(() => {
        frame += 1;
        context.fillStyle = `hsl(${frame % 360}, 40%, 60%)`;
        context.fillRect(0, 0, 960, 540);
        for (let n = 0; n < 12; n++) {
            context.fillStyle = `hsl(${n * 30}, 80%, 40%)`;
            context.fillRect(480 + 400 * Math.sin(frame / 15 + n) - 40, 40 * n, 80, 36);
        }
        context.fillStyle = 'black';
        context.font = '120px sans-serif';
        context.fillText(String(frame), 60, 300);
    }, 66);
    const [ track ] = canvas.captureStream().getTracks();
    const simulcast = codec === 'VP8' || codec === 'H264';
    const sendEncodings = simulcast
        ? [ [ 'l', 4, 60_000 ], [ 'm', 2, 120_000 ], [ 'h', 1, 250_000 ] ].map(([ rid, scaleResolutionDownBy, maxBitrate ]) =>
            ({ rid, scaleResolutionDownBy, maxBitrate, scalabilityMode: 'L1T3' }))
        : [ { scalabilityMode: 'L3T3_KEY', maxBitrate: 350_000 } ];
    const from = new RTCPeerConnection(), to = new RTCPeerConnection();

    from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
    to.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
    const transceiver = from.addTransceiver(track, { direction: 'sendonly', sendEncodings });
    const { codecs } = RTCRtpSender.getCapabilities('video');

    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => [ `video/${codec}`, 'video/rtx' ].includes(mimeType)));
    await from.setLocalDescription();
    await to.setRemoteDescription(from.localDescription);
    await to.setLocalDescription();
    let { sdp } = to.localDescription;

    if (simulcast) {
        sdp += `${sendEncodings.map(({ rid }) => `a=rid:${rid} recv\r\n`).join('')}a=simulcast:recv l;m;h\r\n`;
    }
    await from.setRemoteDescription({ type: 'answer', sdp });
    for (let n = 0; n < seconds * 1000 / 700; n++) {
        await new Promise(done => setTimeout(done, 700));
        const parameters = transceiver.sender.getParameters();

        await transceiver.sender.setParameters(parameters, { encodingOptions: parameters.encodings.map(() => ({ keyFrame: true })) });
    }
    const report = await from.getStats();
    const streams = [ ...report.values() ].filter(({ type }) => type === 'outbound-rtp')
        .sort((a, b) => (a.frameHeight ?? 0) - (b.frameHeight ?? 0));
    const extension = new RegExp(`a=extmap:(\\d+)[^ ]* ${descriptor.replace(/[.#/]/g, '\\$&')}`).exec(from.localDescription.sdp);

    clearInterval(draw);
    from.close();
    to.close();

    return {
        codec,
        pt: report.get(streams[0].codecId).payloadType,
        descriptor: Number(extension?.[1] ?? 0),
        ssrcs: streams.map(({ ssrc }) => ssrc).join(','),
        heights: streams.map(({ frameHeight }) => frameHeight).join(','),
        mode: streams.map(({ scalabilityMode }) => scalabilityMode).join(',')
    };
}

/** The outgoing media packets of a log with these SSRCs: milliseconds of the day, and bytes. */
function packets(log, pt, ssrcs) {
    const found = [];

    for (const [ , h, m, s, hex ] of log.matchAll(/^O (\d+):(\d+):([\d.]+) 0000 ([0-9a-f ]+) # RTP_DUMP/gm)) {
        const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');

        if ((bytes[1] & 0x7f) === pt && ssrcs.includes(bytes.readUInt32BE(8))) {
            found.push([ Math.round((Number(h) * 3600 + Number(m) * 60 + Number(s)) * 1000), bytes ]);
        }
    }

    return found;
}

const [ folder, ...wanted ] = process.argv.slice(2);

for (const codec of wanted.length > 0 ? wanted : CODECS) {
    const logs = mkdtempSync(join(tmpdir(), 'pontoon-record-'));
    const file = join(logs, 'chromium.log');
    const browser = await launch({
        args: [ '--force-fieldtrials=WebRTC-Debugging-RtpDump/Enabled/', '--enable-logging', '--vmodule=*srtp_session*=4' ],
        env: { ...process.env, CHROME_LOG_FILE: file }
    });
    const page = await browser.newPage();
    const said = await page.evaluate(publish, { codec, seconds: SECONDS, descriptor: DESCRIPTOR });

    await browser.close();
    const found = packets(readFileSync(file, 'utf8'), said.pt, said.ssrcs.split(',').map(Number));
    const parts = [ Buffer.from(`${Object.entries(said).map(([ key, value ]) => `${key}=${value}`).join(' ')}\n`) ];

    for (const [ at, bytes ] of found) {
        const head = Buffer.alloc(6);

        head.writeUInt32BE(at - found[0][0], 0);
        head.writeUInt16BE(bytes.length, 4);
        parts.push(head, bytes);
    }
    const data = Buffer.concat(parts);

    writeFileSync(join(folder, `${codec.toLowerCase()}.rtp`), data);
    rmSync(logs, { recursive: true });
    console.log(codec, said, `${found.length} packets, ${data.length} bytes`);
}
