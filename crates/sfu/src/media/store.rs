//! The store of published packets: one plaintext copy each, shared by all receivers.
//!
//! A ring of bytes and a ring of records. Nothing is freed: a packet is overwritten when the ring comes round, and its
//! 32-bit id then no longer resolves. So there are no reference counts and no allocation per packet.

use super::packet::{PacketId, Record};

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u32,
    position: u64,
    len: u16,
    record: Record,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    bytes: Vec<u8>,
    entries: Vec<Option<Entry>>,
    /// Bytes ever written, skipped ones included.
    written: u64,
    next: u32,
}

impl Store {
    /// A store of at most `packets` packets and `bytes` bytes (each rounded up to a power of two).
    pub(crate) fn new(packets: usize, bytes: usize) -> Self {
        Self {
            bytes: vec![0; bytes.next_power_of_two().max(1 << 16)],
            entries: vec![None; packets.next_power_of_two().max(16)],
            written: 0,
            next: 0,
        }
    }

    /// Keeps a packet. `None` if it is larger than a packet can be.
    pub(crate) fn insert(&mut self, packet: &[u8], record: Record) -> Option<PacketId> {
        let len = u16::try_from(packet.len()).ok()?;
        let capacity = self.bytes.len();
        let mut start = (self.written % capacity as u64) as usize;
        if start + packet.len() > capacity {
            self.written += (capacity - start) as u64;
            start = 0;
        }
        self.bytes
            .get_mut(start..start + packet.len())?
            .copy_from_slice(packet);
        let id = self.next;
        let index = id as usize % self.entries.len();
        *self.entries.get_mut(index)? = Some(Entry {
            id,
            position: self.written,
            len,
            record,
        });
        self.written += u64::from(len);
        self.next = self.next.wrapping_add(1);
        Some(PacketId(id))
    }

    /// The id of the packet that came last.
    pub(crate) fn newest(&self) -> PacketId {
        PacketId(self.next.wrapping_sub(1))
    }

    /// The packet and its record, unless it was overwritten.
    pub(crate) fn get(&self, id: PacketId) -> Option<(&[u8], &Record)> {
        let entry = self
            .entries
            .get(id.0 as usize % self.entries.len())?
            .as_ref()?;
        let capacity = self.bytes.len() as u64;
        if entry.id != id.0 || self.written - entry.position > capacity {
            return None;
        }
        let start = (entry.position % capacity) as usize;
        Some((
            self.bytes.get(start..start + usize::from(entry.len))?,
            &entry.record,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::packet::Codec;
    use rtp::RtpHeader;

    fn record(sequence_number: u16) -> Record {
        let mut bytes = [0u8; 12];
        bytes[0] = 0x80;
        let mut header = RtpHeader::parse(&bytes).unwrap();
        header.sequence_number = sequence_number;
        Record {
            header,
            codec: Codec::Opaque,
            orientation: None,
            audio_level: None,
            descriptor: (0, 0),
            before: None,
        }
    }

    #[test]
    fn a_packet_is_found_until_the_ring_of_records_comes_round() {
        let mut store = Store::new(16, 1 << 20);
        let ids: Vec<_> = (0..17u16)
            .map(|n| store.insert(&[n as u8; 100], record(n)).unwrap())
            .collect();
        assert!(store.get(ids[0]).is_none());
        for (n, id) in ids.iter().enumerate().skip(1) {
            let (bytes, record) = store.get(*id).unwrap();
            assert_eq!(
                (bytes, record.header.sequence_number),
                (&[n as u8; 100][..], n as u16)
            );
        }
    }

    #[test]
    fn a_packet_is_never_returned_overwritten() {
        let mut store = Store::new(4096, 1 << 16);
        let mut ids = Vec::new();
        for n in 0..1000usize {
            let packet = vec![n as u8; 900 + n % 300];
            ids.push((store.insert(&packet, record(n as u16)).unwrap(), packet));
            let mut held = 0;
            for (id, packet) in &ids {
                if let Some((bytes, _)) = store.get(*id) {
                    assert_eq!(bytes, &packet[..]);
                    held += packet.len();
                }
            }
            assert!(held <= 1 << 16);
            assert!(n < 80 || held > (1 << 16) - 3000, "{n}: {held}");
        }
    }
}
