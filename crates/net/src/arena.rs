//! Memory of bursts to send.

use std::net::SocketAddr;

/// Datagrams to send: an arena of bytes and runs in it. A run goes to one receiver and is cut into equal segments (the
/// last may be shorter), so that it can leave as one GSO message.
#[derive(Debug, Default)]
pub struct SendArena {
    bytes: Vec<u8>,
    runs: Vec<Run>,
}

/// One run in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Receiver.
    pub to: SocketAddr,
    /// Local address to send from; the kernel chooses where it is `None` or unspecified.
    pub from: Option<SocketAddr>,
    /// Offset in the arena.
    pub offset: usize,
    /// Length of all segments.
    pub len: usize,
    /// Length of each segment but the last.
    pub segment: usize,
}

impl SendArena {
    /// An empty arena with room for `capacity` bytes before it grows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            runs: Vec::new(),
        }
    }

    /// Bytes in the arena.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs so far.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The bytes of all runs.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets everything; the memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
    }

    /// Adds one datagram: to the last run if it goes to the same receiver and fits, else as a new run.
    pub fn push(&mut self, from: Option<SocketAddr>, to: SocketAddr, datagram: &[u8]) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        if let Some(run) = self.runs.last_mut()
            && run.to == to
            && run.from == from
            && run.segment > 0
            && datagram.len() <= run.segment
            // A shorter segment is the last one.
            && run.len.is_multiple_of(run.segment)
            && !datagram.is_empty()
        {
            run.len += datagram.len();
            return;
        }
        self.runs.push(Run {
            to,
            from,
            offset,
            len: datagram.len(),
            segment: datagram.len(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_equal_segments_with_a_short_end() {
        let (a, b) = (
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:1".parse().unwrap(),
        );
        let mut arena = SendArena::default();
        for (to, len) in [(a, 100), (a, 100), (a, 40), (a, 40), (a, 100), (b, 100)] {
            arena.push(None, to, &vec![0; len]);
        }
        let runs: Vec<_> = arena
            .runs()
            .iter()
            .map(|r| (r.to, r.offset, r.len, r.segment))
            .collect();
        assert_eq!(
            runs,
            [
                (a, 0, 240, 100),
                (a, 240, 40, 40),
                (a, 280, 100, 100),
                (b, 380, 100, 100)
            ]
        );
    }
}
