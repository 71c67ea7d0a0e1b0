// A voice for browsers' fake microphones.
//
// Chromium's own fake microphone beeps, and is silent in between. Silence is not sent on, so a receiver makes up something
// for the first moment after each beep, and counts it as concealed although nothing is missing. Whoever measures what was
// lost needs a sound that never stops.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const RATE = 48_000;
const SECONDS = 10;

/** One channel of 16 bits: a buzz of harmonics that rises and falls like syllables, over a little noise. */
function samples() {
    const data = Buffer.alloc(RATE * SECONDS * 2);
    let phase = 0;
    let noise = 1;

    for (let n = 0; n < RATE * SECONDS; n++) {
        const t = n / RATE;
        const loudness = 0.15 + 0.85 * Math.abs(Math.sin(2 * Math.PI * 2 * t));

        phase += (120 + 20 * Math.sin(2 * Math.PI * 0.7 * t)) / RATE;
        let value = 0;

        for (let harmonic = 1; harmonic <= 20; harmonic++) {
            value += Math.sin(2 * Math.PI * harmonic * phase) / harmonic;
        }
        noise = (noise * 48_271) % 0x7fffffff;
        value = 0.15 * loudness * value + 0.01 * (noise / 0x3fffffff - 1);
        data.writeInt16LE(Math.round(32_767 * Math.max(-1, Math.min(1, value))), 2 * n);
    }

    return data;
}

function wave(data) {
    const head = Buffer.alloc(44);

    head.write('RIFF', 0);
    head.writeUInt32LE(36 + data.length, 4);
    head.write('WAVEfmt ', 8);
    head.writeUInt32LE(16, 16);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(1, 22);
    head.writeUInt32LE(RATE, 24);
    head.writeUInt32LE(RATE * 2, 28);
    head.writeUInt16LE(2, 32);
    head.writeUInt16LE(16, 34);
    head.write('data', 36);
    head.writeUInt32LE(data.length, 40);

    return Buffer.concat([ head, data ]);
}

let file;

/** Options with which a browser's microphone hears a voice that never stops. */
export function voiceArgs() {
    if (file === undefined) {
        const folder = mkdtempSync(join(tmpdir(), 'pontoon-voice-'));

        file = join(folder, 'voice.wav');
        writeFileSync(file, wave(samples()));
        process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    }

    return [ `--use-file-for-fake-audio-capture=${file}` ];
}
