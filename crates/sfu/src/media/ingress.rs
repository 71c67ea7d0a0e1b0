//! The way of a received RTP packet: decrypt, classify, store, offer to who takes it.

use super::conference::{Conference, Context};
use super::endpoint::{Endpoint, Payload, SentSsrc};
use super::offsets::Offsets;
use super::send::Pending;
use super::slot::{Forward, Published};
use super::source::{Audio, Media, PayloadCodec, inspect};
use super::spec::MediaKind;
use super::stats::DropReason;
use super::store::{Codec, PacketId, Record};
use rtp::ext::AudioLevel;
use rtp::{RtpHeader, RtpView};
use std::net::SocketAddr;

/// Level of silence, -dBov (RFC 6464).
const SILENCE: u8 = 127;
/// Silent packets that pass before the rest of the silence is dropped.
const SILENCE_PASSED: u8 = 4;

/// A decrypted packet and what its header says.
struct Parsed {
    header: RtpHeader,
    record: Record,
    sent: SentSsrc,
    kind: MediaKind,
    codec: PayloadCodec,
    level: Option<AudioLevel>,
    retransmitted: bool,
}

impl Conference {
    /// A datagram that looks like RTP came from an endpoint.
    pub(crate) fn handle_rtp(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<(), DropReason> {
        let endpoint = self.endpoint_mut(index).ok_or(DropReason::UnknownAddress)?;
        let len = endpoint.decrypt(ctx, path, datagram)?;
        let (packet, _) = datagram
            .split_at_mut_checked(len)
            .ok_or(DropReason::Malformed)?;
        let (parsed, len) = endpoint.classify(ctx.us, packet)?;
        let packet = packet.get(..len).ok_or(DropReason::Malformed)?;
        match parsed.kind {
            MediaKind::Audio => self.audio_packet(ctx, index, parsed, packet),
            MediaKind::Video => self.video_packet(ctx, index, parsed, packet),
        }
    }

    fn audio_packet(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        mut parsed: Parsed,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let endpoint = self.endpoint(index).ok_or(DropReason::UnknownAddress)?;
        let (muted, visitor) = (endpoint.force_mute_audio, endpoint.visitor);
        let source = parsed.sent.source;
        let state = self
            .sources
            .get_mut(source)
            .and_then(|s| s.as_mut())
            .ok_or(DropReason::UnknownSsrc)?;
        let Media::Audio(audio) = &mut state.media else {
            return Err(DropReason::UnknownPayloadType);
        };
        let header = &parsed.header;
        let seq = audio.stream.receive(
            ctx.us,
            header.sequence_number,
            header.timestamp,
            packet.len(),
            false,
        )?;
        let published = audio.publish(seq, parsed.level, muted)?;
        let level = parsed.level.map(|l| SILENCE - l.level.min(SILENCE));
        audio.loudness.heard(ctx.us, level);
        if let Some(level) = level.filter(|_| !visitor) {
            self.speakers.level(ctx.us, &state.owner_id, level);
        }
        parsed.record.header.sequence_number = published as u16;
        let id = ctx
            .store
            .insert(packet, parsed.record)
            .ok_or(DropReason::Oversized)?;
        for receiver in 0..self.endpoints.len() {
            if receiver != index && self.takes(receiver, MediaKind::Audio) {
                self.forward_audio(ctx, receiver, source, id, &parsed.record);
            }
        }
        Ok(())
    }

    fn forward_audio(
        &mut self,
        ctx: &mut Context<'_>,
        receiver: usize,
        source: usize,
        id: PacketId,
        record: &Record,
    ) {
        let Some(name) = self
            .sources
            .get(source)
            .and_then(|s| s.as_ref())
            .map(|s| &s.name)
        else {
            return;
        };
        if !self.endpoint(receiver).is_some_and(|e| e.hears(name)) {
            return;
        }
        let Some(at) = self.audio_slot(ctx, receiver, source) else {
            return;
        };
        let Some(endpoint) = self
            .endpoints
            .get_mut(receiver)
            .and_then(|e| e.as_deref_mut())
        else {
            return;
        };
        let Some(slot) = endpoint.audio.get_mut(at) else {
            return;
        };
        let (seq_in, ts_in) = (record.header.sequence_number, record.header.timestamp);
        let rewriting = endpoint.rewriting;
        let (seq_offset, ts_offset) = *slot.offsets.get_or_insert_with(|| match slot.last {
            // The slot goes on where its former source ended.
            Some((seq, ts)) => (
                seq_in.wrapping_sub(seq.wrapping_add(1)),
                ts_in.wrapping_sub(ts.wrapping_add(960)),
            ),
            None if rewriting => (seq_in.wrapping_sub(seq_in & 0x3FFF), 0),
            None => (0, 0),
        });
        let (seq, timestamp) = (
            seq_in.wrapping_sub(seq_offset),
            ts_in.wrapping_sub(ts_offset),
        );
        if slot.last.is_none_or(|(last, _)| rtp::seq::newer(seq, last)) {
            slot.last = Some((seq, timestamp));
        }
        slot.used_at = ctx.us;
        slot.packets = slot.packets.wrapping_add(1);
        slot.octets = slot
            .octets
            .wrapping_add(u32::from(record.header.payload_len));
        let pending = Pending {
            id,
            ssrc: slot.ssrc,
            seq,
            timestamp,
            picture_id: 0,
            tl0: 0,
            osn: None,
            video: false,
        };
        endpoint.enqueue(ctx, receiver, pending);
    }

    fn video_packet(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        mut parsed: Parsed,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let muted = self.endpoint(index).is_some_and(|e| e.force_mute_video);
        let SentSsrc {
            source, encoding, ..
        } = parsed.sent;
        let state = self
            .sources
            .get_mut(source)
            .and_then(|s| s.as_mut())
            .ok_or(DropReason::UnknownSsrc)?;
        let video = state.video_mut().ok_or(DropReason::UnknownPayloadType)?;
        let stream = video
            .encodings
            .get_mut(usize::from(encoding))
            .ok_or(DropReason::UnknownSsrc)?;
        let header = &parsed.header;
        let (seq16, timestamp) = (header.sequence_number, header.timestamp);
        let seq =
            stream
                .stream
                .receive(ctx.us, seq16, timestamp, packet.len(), parsed.retransmitted)?;
        if muted {
            return Err(DropReason::ForceMuted);
        }
        if header.payload_len == 0 {
            for &(receiver, at) in &video.takers {
                if let Some(slot) = slot_of(&mut self.endpoints, receiver, at) {
                    slot.skip(encoding, seq);
                }
            }
            return Err(DropReason::Padding);
        }
        let view = RtpView::new(packet, *header);
        let (at, len) = (
            usize::from(parsed.record.descriptor.0),
            usize::from(parsed.record.descriptor.1),
        );
        let descriptor = packet.get(at..at + len).filter(|d| !d.is_empty());
        let (codec, sign) =
            inspect(parsed.codec, view.payload(), descriptor).ok_or(DropReason::BadPayload)?;
        if parsed.codec != PayloadCodec::Av1 {
            // The descriptor's frame numbers would contradict a rewritten stream.
            parsed.record.descriptor = (0, 0);
        }
        parsed.record.codec = codec;
        let id = ctx
            .store
            .insert(packet, parsed.record)
            .ok_or(DropReason::Oversized)?;
        let published = Published { seq, timestamp, id };
        let newest_key = stream.keys.note(ctx.us, published, sign);
        if newest_key {
            ctx.stats.keyframes_received += 1;
            self.unsettled |= stream.learn_height(&codec);
        }
        if !stream.active {
            stream.active = true;
            self.unsettled = true;
        }
        self.offer_video(
            ctx,
            source,
            encoding,
            &published,
            &parsed.record,
            newest_key,
        );
        if self.unsettled && newest_key {
            self.settle(ctx);
        }
        Ok(())
    }

    /// Offers a stored packet to all takers of its source.
    fn offer_video(
        &mut self,
        ctx: &mut Context<'_>,
        source: usize,
        encoding: u8,
        packet: &Published,
        record: &Record,
        key: bool,
    ) {
        let Some(video) = self.sources.get(source).and_then(|s| s.as_ref()?.video()) else {
            return;
        };
        let Some(stream) = video.encodings.get(usize::from(encoding)) else {
            return;
        };
        for &(receiver, at) in &video.takers {
            let Some(endpoint) = self
                .endpoints
                .get_mut(receiver)
                .and_then(|e| e.as_deref_mut())
            else {
                continue;
            };
            if !endpoint.is_connected() {
                continue;
            }
            let Some(slot) = endpoint.video.get_mut(at) else {
                continue;
            };
            if key && (slot.accepts_keyframe(encoding) || !slot.continues(encoding, record)) {
                let mut burst = smallvec::SmallVec::<[Forward; 8]>::new();
                slot.start(
                    ctx.us,
                    encoding,
                    stream.keys.since_key(),
                    false,
                    ctx.store,
                    |forward| burst.push(forward),
                );
                endpoint.enqueue_video(ctx, receiver, at, &burst);
            } else if let Some(forward) = slot.offer(ctx.us, encoding, packet, record, key) {
                endpoint.enqueue_video(ctx, receiver, at, &[forward]);
            }
        }
    }
}

fn slot_of(
    endpoints: &mut [Option<Box<Endpoint>>],
    receiver: usize,
    at: usize,
) -> Option<&mut super::slot::VideoSlot> {
    endpoints
        .get_mut(receiver)?
        .as_deref_mut()?
        .video
        .get_mut(at)
}

impl Audio {
    /// Decides about a packet; its number without the gaps of dropped ones.
    fn publish(
        &mut self,
        seq: u64,
        level: Option<AudioLevel>,
        muted: bool,
    ) -> Result<u64, DropReason> {
        let offsets = self
            .offsets
            .get_or_insert_with(|| Offsets::starting(seq, seq));
        let silent = level.is_some_and(|l| l.level >= SILENCE);
        self.silent = if silent {
            self.silent.saturating_add(1)
        } else {
            0
        };
        if muted || self.silent > SILENCE_PASSED {
            offsets.leave_out(seq);
            return Err(if muted {
                DropReason::ForceMuted
            } else {
                DropReason::Silence
            });
        }
        offsets.accept(seq).ok_or(DropReason::TooOld)
    }
}

impl Endpoint {
    /// Authenticates and decrypts a packet in place; its length.
    fn decrypt(
        &mut self,
        ctx: &mut Context<'_>,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<usize, DropReason> {
        let inbound = self.inbound.as_mut().ok_or(DropReason::NoKeys)?;
        let bytes = datagram.len() as u64;
        let len = inbound
            .unprotect_rtp(datagram)
            .map_err(|_| DropReason::Unauthenticated)?;
        self.received(ctx, path, bytes);
        Ok(len)
    }

    /// Authentic media came from a path.
    pub(crate) fn received(
        &mut self,
        ctx: &mut Context<'_>,
        path: (SocketAddr, SocketAddr),
        bytes: u64,
    ) {
        self.last_media = Some(ctx.us);
        self.window.packets_received += 1;
        self.window.bytes_received += bytes;
        let (to, from) = path;
        // Once in a while suffices on the known path; another one is news.
        if !self.media_noted || self.path != Some(path) {
            self.media_noted = true;
            self.transport.media_received(ctx.now, from, to);
        }
    }

    /// Reads header, extensions and source of a plaintext packet, and unwraps RTX. Also the length of what remains.
    fn classify(&mut self, now: u64, packet: &mut [u8]) -> Result<(Parsed, usize), DropReason> {
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::Malformed)?;
        let n = &self.negotiated;
        let mut record = Record {
            header,
            codec: Codec::Opaque,
            orientation: None,
            audio_level: None,
            descriptor: (0, 0),
        };
        let mut level = None;
        let start = packet.as_ptr() as usize;
        for e in RtpView::new(packet, header).extensions() {
            let id = Some(e.id);
            if id == n.transport_cc {
                if let Some(seq) = rtp::ext::transport_seq(e.data) {
                    self.recorder.record(seq, now);
                }
            } else if id == n.audio_level {
                level = AudioLevel::parse(e.data);
                record.audio_level = e.data.first().copied();
            } else if id == n.orientation {
                record.orientation = e.data.first().copied();
            } else if id == n.descriptor {
                let at = (e.data.as_ptr() as usize).saturating_sub(start);
                record.descriptor = (at as u16, e.data.len() as u16);
            }
        }
        let sent = self
            .find_ssrc(header.ssrc.0)
            .ok_or(DropReason::UnknownSsrc)?;
        let mut len = usize::from(header.header_len) + usize::from(header.payload_len);
        let mut payload_type = header.payload_type;
        if let Some(Payload::Rtx { apt }) = n.payload_type(payload_type) {
            len = self.unwrap_rtx(packet, &header, sent, apt)?;
            payload_type = apt;
        } else if sent.rtx {
            return Err(DropReason::UnknownPayloadType);
        }
        if let Some(first) = packet.first_mut() {
            // Padding is cut off.
            *first &= !0x20;
        }
        let header = RtpHeader::parse(packet.get(..len).unwrap_or_default())
            .map_err(|_| DropReason::Malformed)?;
        record.header = header;
        match self.negotiated.payload_type(payload_type) {
            Some(Payload::Media { kind, codec, .. }) => Ok((
                Parsed {
                    header,
                    record,
                    sent,
                    kind,
                    codec,
                    level,
                    retransmitted: sent.rtx,
                },
                len,
            )),
            _ => Err(DropReason::UnknownPayloadType),
        }
    }

    fn unwrap_rtx(
        &self,
        packet: &mut [u8],
        header: &RtpHeader,
        sent: SentSsrc,
        apt: u8,
    ) -> Result<usize, DropReason> {
        let primary = self
            .ssrcs
            .iter()
            .find(|s| s.source == sent.source && s.encoding == sent.encoding && !s.rtx);
        let primary = primary
            .filter(|_| sent.rtx)
            .ok_or(DropReason::UnknownSsrc)?;
        let header_len = usize::from(header.header_len);
        let end = header_len + usize::from(header.payload_len);
        let packet = packet.get_mut(..end).ok_or(DropReason::Malformed)?;
        rtp::rtx::restore_in_place(packet, header_len, apt, primary.ssrc.into())
            .ok_or(DropReason::Padding)
    }

    /// Queues a packet for this endpoint, whose index is `index`.
    pub(crate) fn enqueue(&mut self, ctx: &mut Context<'_>, index: usize, pending: Pending) {
        self.queue.push(ctx.us, pending, ctx.stats);
        self.mark_dirty(ctx, index);
    }

    /// There is something to send.
    pub(crate) fn mark_dirty(&mut self, ctx: &mut Context<'_>, index: usize) {
        if !self.queue.in_dirty_list {
            self.queue.in_dirty_list = true;
            ctx.dirty.push(index);
        }
    }

    /// Queues packets of a video slot.
    pub(crate) fn enqueue_video(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        at: usize,
        packets: &[Forward],
    ) {
        for forward in packets {
            let Some(slot) = self.video.get_mut(at) else {
                return;
            };
            let octets = ctx
                .store
                .get(forward.id)
                .map_or(0, |(_, r)| u32::from(r.header.payload_len));
            slot.packets = slot.packets.wrapping_add(1);
            slot.octets = slot.octets.wrapping_add(octets);
            self.resends.earn(octets.into());
            let pending = Pending {
                id: forward.id,
                ssrc: slot.ssrc,
                seq: forward.seq,
                timestamp: forward.timestamp,
                picture_id: forward.picture_id,
                tl0: forward.tl0,
                osn: None,
                video: true,
            };
            self.enqueue(ctx, index, pending);
        }
    }
}
