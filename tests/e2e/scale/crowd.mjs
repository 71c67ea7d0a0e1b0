// Synthetic people on a host of their own, and what each of them gets, second by second (`pontoon load --people -`).

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { binary } from '../lib/server.mjs';
import { DOMAIN } from './network.mjs';

/** Rooms of equal size, full of people. All send; in each room one of them speaks. */
export class Crowd {
    /**
     * `pictures`: how many cameras each of them wants at most, all without it. `count`: most of who only receives counts packets
     * and does not look at them.
     */
    constructor({ host, server, room, rooms = 1, senders, receivers = 0, pictures = -1, frameRate = 15, ramp = 20, threads = 1, count = false }) {
        const people = senders + receivers;

        this.size = rooms * people;
        this.rooms = Array.from({ length: rooms }, (_, n) => `${room}-${n}`);
        this.pictures = pictures;
        this.senders = senders;
        this.count = count;
        this.records = [];
        this.waiters = new Set();
        this.folder = mkdtempSync(join(tmpdir(), 'pontoon-crowd-'));
        this.child = host.spawn(binary, [
            'load', server, '--i-am-allowed-to', '--domain', DOMAIN, '--room', room, '--rooms', rooms, '--senders', senders,
            '--receivers', receivers, '--layout', 'tiles', '--height', 180, '--last-n', pictures, '--frame-rate', frameRate, '--threads', threads,
            '--speaker-change', 0, '--ramp', ramp, '--duration', 86_400, '--people', '-',
            '--json', join(this.folder, 'report.json'), '--log', 'warn', ...count ? [ '--count' ] : []
        ].map(String), { stdio: [ 'ignore', 'pipe', 'pipe' ] });
        this.exited = once(this.child, 'exit');
        createInterface({ input: this.child.stdout }).on('line', line => {
            if (line.startsWith('{"at"')) {
                this.records.push(JSON.parse(line));
                this.waiters.forEach(check => check());
            }
        });
        // What it says last, for whoever asks why nobody came.
        this.said = [];
        createInterface({ input: this.child.stderr }).on('line', line => {
            this.said = [ ...this.said.slice(-9), line ];
        });
    }

    get now() {
        return this.records[this.records.length - 1];
    }

    /** Resolves with the first record, of those from `from` on, that is right; with none after `timeout`. */
    until(right, { from = Date.now(), timeout = 60_000 } = {}) {
        const found = () => this.records.findLast(record => record.at >= from && right(record));

        return new Promise(resolve => {
            const done = record => {
                clearTimeout(timer);
                this.waiters.delete(check);
                resolve(record);
            };
            const timer = setTimeout(() => done(undefined), timeout);
            const check = () => {
                const record = found();

                if (record) {
                    done(record);
                }
            };

            this.waiters.add(check);
            check();
        });
    }

    /** Pictures that somebody should see: of all others who send, as many as wanted. */
    due(record, person) {
        const others = record.people.filter(({ room, name }) => room === person.room && name !== person.name).length;
        const cameras = Math.min(others, this.senders - (this.isSender(person) ? 1 : 0));

        return this.pictures < 0 ? cameras : Math.min(cameras, this.pictures);
    }

    /** Rooms fill up evenly, senders first. */
    isSender({ name }) {
        return Math.floor(Number(name.split(' ')[1]) / this.rooms.length) < this.senders;
    }

    /** The first of each room speaks, and so hears nobody. */
    isSpeaker({ name }) {
        return Number(name.split(' ')[1]) < this.rooms.length;
    }

    /** Who does not get at this moment what is due. */
    unserved(record) {
        const looks = person => !this.count || this.isSender(person);
        const gets = person => person.sees >= this.due(record, person) && (person.hears || this.isSpeaker(person));
        const served = person => person.joined && person.connected && (gets(person) || !looks(person));
        const absent = Array.from({ length: this.size - record.people.length }, () => 'somebody who is not there');

        return [ ...absent, ...record.people.filter(person => !served(person)).map(({ name, room, sees, hears, joined, connected }) =>
            `${name} in ${room} (sees ${sees}, ${hears ? 'hears' : 'hears nobody'}, ${joined ? '' : 'not '}joined, `
            + `${connected ? '' : 'not '}connected)`) ];
    }

    /** Waits until all are served in one and the same second; returns who is not, in the end. */
    async whole({ from = Date.now(), timeout = 60_000 } = {}) {
        const record = await this.until(all => this.unserved(all).length === 0, { from, timeout });

        return record ? [] : this.unserved(this.now ?? { people: [] });
    }

    /** All leave. */
    async leave() {
        this.child.kill('SIGINT');
        await this.exited;
        this.reported = JSON.parse(readFileSync(join(this.folder, 'report.json')));
        rmSync(this.folder, { recursive: true });
    }

    /** What `pontoon load` reported when all had left. */
    report() {
        return this.reported;
    }
}
