//! A camera with VP8 simulcast: frames whose content says what they are.

use super::{RTX, SEND_TIME, VP8};
use rtp::rtcp::{SenderInfo, Writer};
use sfu::{MediaKind, Source, SourceName, SsrcGroup, VideoType};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const HEIGHTS: [u16; 3] = [180, 360, 720];

struct Layer {
    ssrc: u32,
    seq: u16,
    rtx_seq: u16,
    timestamp_base: u32,
    picture: u16,
    tl0: u8,
    /// Frames since the key frame; the pattern of temporal layers goes by it.
    since_key: u32,
    sent: VecDeque<(u16, Vec<u8>)>,
    packets: u32,
}

pub struct Camera {
    layers: Vec<Layer>,
    temporal: bool,
    interval: Duration,
    start: Option<Instant>,
    next: Option<Instant>,
    next_report: Option<Instant>,
    key_wanted: bool,
    height: i32,
    resend: Vec<Vec<u8>>,
    pub key_frames: u32,
    pub frames: u32,
    pub transport_seq: u16,
    /// Packets say when they left instead of having a transport-wide number.
    pub says_when: bool,
    packets_per_frame: usize,
    /// Length of a packet before encryption, bytes.
    pub size: usize,
    /// Heights of the layers, pixels.
    pub heights: [u16; 3],
    /// Bits per second of each layer, instead of packets of that length.
    rates: Option<[usize; 3]>,
    /// A key frame takes so many times what another one takes.
    pub key_size: usize,
}

impl Camera {
    /// `tag` keeps SSRCs of cameras apart.
    pub fn new(tag: u32, layers: usize, temporal: bool, packets_per_frame: usize) -> Self {
        let layer = |n: usize| Layer {
            ssrc: tag * 100 + n as u32,
            seq: 65_500u16.wrapping_add((tag as u16) * 7 + n as u16),
            rtx_seq: 5,
            timestamp_base: tag.wrapping_mul(0x1357_9BDF) ^ (n as u32) << 20,
            picture: 32_760 + n as u16,
            tl0: 250,
            since_key: 0,
            sent: VecDeque::new(),
            packets: 0,
        };
        Self {
            layers: (0..layers).map(layer).collect(),
            temporal,
            interval: Duration::from_millis(33),
            start: None,
            next: None,
            next_report: None,
            key_wanted: true,
            height: 720,
            resend: Vec::new(),
            key_frames: 0,
            frames: 0,
            transport_seq: 1,
            says_when: false,
            packets_per_frame,
            size: 700,
            heights: HEIGHTS,
            rates: None,
            key_size: 3,
        }
    }

    /// Three layers of these rates, bits per second, 30 frames a second.
    pub fn with_rates(tag: u32, temporal: bool, rates: [usize; 3]) -> Self {
        let mut camera = Self::new(tag, 3, temporal, 1);
        camera.rates = Some(rates);
        camera
    }

    pub fn source(&self, name: &str) -> Source {
        let ssrcs: Vec<u32> = self.layers.iter().map(|l| l.ssrc).collect();
        let mut groups = vec![SsrcGroup {
            semantics: "SIM".into(),
            ssrcs: ssrcs.clone(),
        }];
        groups.extend(ssrcs.iter().map(|s| SsrcGroup {
            semantics: "FID".into(),
            ssrcs: vec![*s, s + 50],
        }));
        let all: Vec<u32> = ssrcs.iter().flat_map(|s| [*s, s + 50]).collect();
        Source::from_groups(
            SourceName::new(name).unwrap(),
            MediaKind::Video,
            VideoType::Camera,
            &all,
            &groups,
        )
        .unwrap()
    }

    pub fn limit(&mut self, height: i32) {
        self.height = height;
    }

    pub fn want_key(&mut self) {
        self.key_wanted = true;
    }

    pub fn nack(&mut self, ssrc: u32, lost: impl Iterator<Item = u16>) {
        let Some(layer) = self.layers.iter_mut().find(|l| l.ssrc == ssrc) else {
            return;
        };
        for seq in lost {
            let Some((_, packet)) = layer.sent.iter().find(|(s, _)| *s == seq) else {
                continue;
            };
            layer.rtx_seq = layer.rtx_seq.wrapping_add(1);
            let header = rtp::RtpHeader::parse(packet).unwrap();
            let at = usize::from(header.header_len);
            let mut rtx = packet[..at].to_vec();
            rtx[1] = rtx[1] & 0x80 | RTX;
            rtx[2..4].copy_from_slice(&layer.rtx_seq.to_be_bytes());
            rtx[8..12].copy_from_slice(&(ssrc + 50).to_be_bytes());
            rtx.extend(seq.to_be_bytes());
            rtx.extend(&packet[at..]);
            self.resend.push(rtx);
        }
    }

    /// What is to be sent now.
    pub fn packets(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let start = *self.start.get_or_insert(now);
        let mut out = std::mem::take(&mut self.resend);
        if self.next.is_none_or(|t| now >= t) && self.height != 0 {
            self.next = Some(self.next.unwrap_or(now).max(now - self.interval) + self.interval);
            let key = std::mem::take(&mut self.key_wanted);
            self.frames += 1;
            self.key_frames += u32::from(key);
            let elapsed = ((now - start).as_micros() * 9 / 100) as u32;
            for (n, height) in self.heights.into_iter().enumerate().take(self.layers.len()) {
                if self.height < 0 || i32::from(height) <= self.height || n == 0 {
                    self.frame(n, key, elapsed, &mut out);
                }
            }
        }
        out
    }

    fn frame(&mut self, n: usize, key: bool, elapsed: u32, out: &mut Vec<Vec<u8>>) {
        let frame = self.rates.map(|rates| rates[n] / 8 / 30);
        let usual = frame.map_or(self.packets_per_frame, |bytes| bytes.div_ceil(1_100));
        let size = frame.map_or(self.size, |bytes| bytes / usual);
        let count = if key { self.key_size * usual } else { usual };
        let layer = &mut self.layers[n];
        layer.since_key = if key || layer.packets == 0 {
            0
        } else {
            layer.since_key + 1
        };
        let key = layer.since_key == 0;
        layer.picture = layer.picture.wrapping_add(1) & 0x7FFF;
        // Three temporal layers: 0 2 1 2; the first 2 and the 1 are sync points.
        let (tid, sync) = match (self.temporal, layer.since_key % 4) {
            (false, _) | (_, 0) => (0u8, false),
            (true, 2) => (1, true),
            (true, 1) => (2, true),
            (true, _) => (2, false),
        };
        if tid == 0 {
            layer.tl0 = layer.tl0.wrapping_add(1);
        }
        for i in 0..count {
            let first = i == 0;
            let mut p = vec![0x90, if i + 1 == count { 0x80 } else { 0 } | VP8];
            p.extend(layer.seq.to_be_bytes());
            p.extend(layer.timestamp_base.wrapping_add(elapsed).to_be_bytes());
            p.extend(layer.ssrc.to_be_bytes());
            p.extend([0xBE, 0xDE, 0, 1]);
            if self.says_when {
                p.push(SEND_TIME << 4 | 2);
                let micros = u64::from(elapsed) * 100 / 9;
                p.extend(rtp::ext::abs_send_time_from_micros(micros));
            } else {
                p.push(0x51);
                p.extend(self.transport_seq.to_be_bytes());
                p.push(0);
            }
            self.transport_seq = self.transport_seq.wrapping_add(1);
            p.push(if first { 0x90 } else { 0x80 });
            p.push(0xE0);
            p.extend((layer.picture | 0x8000).to_be_bytes());
            p.push(layer.tl0);
            p.push(tid << 6 | u8::from(sync) << 5);
            if first {
                let height = self.heights[n].to_le_bytes();
                let width = (self.heights[n] / 9 * 16).to_le_bytes();
                p.extend([u8::from(!key), 0, 0]);
                if key {
                    p.extend([0x9D, 1, 0x2A, width[0], width[1], height[0], height[1]]);
                }
            }
            // What the receiver checks: encoding, packet, number of packets, frame.
            p.extend([n as u8, i as u8, count as u8]);
            p.extend(self.frames.to_be_bytes());
            p.resize(size + i % 2, 0x55);
            layer.sent.push_back((layer.seq, p.clone()));
            if layer.sent.len() > 500 {
                layer.sent.pop_front();
            }
            layer.seq = layer.seq.wrapping_add(1);
            layer.packets += 1;
            out.push(p);
        }
    }

    /// Sender reports, once a second.
    pub fn report(&mut self, now: Instant) -> Option<Vec<u8>> {
        let start = self.start?;
        if self.next_report.is_some_and(|t| now < t) {
            return None;
        }
        self.next_report = Some(now + Duration::from_secs(1));
        let micros = (now - start).as_micros() as u64;
        let mut out = vec![0; 300];
        let mut writer = Writer::new(&mut out);
        for layer in &self.layers {
            let info = SenderInfo {
                ntp: rtp::rtcp::ntp_from_unix_micros(1_700_000_000_000_000 + micros),
                rtp_timestamp: layer.timestamp_base.wrapping_add((micros * 9 / 100) as u32),
                packet_count: layer.packets,
                octet_count: 0,
            };
            writer.sender_report(layer.ssrc.into(), &info, &[]).unwrap();
        }
        let len = writer.len();
        out.truncate(len);
        Some(out)
    }
}
