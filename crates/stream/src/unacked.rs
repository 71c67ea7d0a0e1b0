//! Stanzas that were sent and not acknowledged yet (XEP-0198).

use std::collections::VecDeque;

/// The peer acknowledged more than it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AckTooHigh;

/// Sent stanzas in order, and how many were acknowledged before them.
#[derive(Default)]
pub(crate) struct Unacked {
    stanzas: VecDeque<Vec<u8>>,
    acknowledged: u32,
}

impl Unacked {
    pub(crate) fn push(&mut self, stanza: Vec<u8>) {
        self.stanzas.push_back(stanza);
    }

    /// The peer handled `h` stanzas in all, counted modulo 2³².
    pub(crate) fn ack(&mut self, h: u32) -> Result<(), AckTooHigh> {
        let newly = usize::try_from(h.wrapping_sub(self.acknowledged)).map_err(|_| AckTooHigh)?;
        if newly > self.stanzas.len() {
            return Err(AckTooHigh);
        }
        self.stanzas.drain(..newly);
        self.acknowledged = h;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.stanzas.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.stanzas.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_wrap_and_never_run_ahead() {
        let mut unacked = Unacked {
            acknowledged: u32::MAX,
            ..Unacked::default()
        };
        for n in 0..3u8 {
            unacked.push(vec![n]);
        }
        assert_eq!(unacked.ack(u32::MAX), Ok(()));
        assert_eq!(unacked.len(), 3);
        assert_eq!(unacked.ack(1), Ok(()));
        assert_eq!(unacked.iter().collect::<Vec<_>>(), [&vec![2]]);
        assert_eq!(unacked.ack(3), Err(AckTooHigh));
        assert_eq!(unacked.ack(0), Err(AckTooHigh), "counts do not go back");
        assert_eq!(unacked.len(), 1);
    }
}
