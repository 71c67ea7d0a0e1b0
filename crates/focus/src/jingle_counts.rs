//! How many Jingle requests of each kind were sent and received.

use stanza::Element;

/// The kinds that are counted, as they are called on the wire.
const ACTIONS: [&str; 11] = [
    "session-initiate",
    "session-accept",
    "session-info",
    "session-terminate",
    "transport-info",
    "transport-replace",
    "transport-accept",
    "transport-reject",
    "source-add",
    "source-remove",
    "content-modify",
];

/// Jingle requests since the start, by action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JingleCounts([u64; ACTIONS.len()]);

impl JingleCounts {
    /// Each action under the name that Jitsi's metrics have for it (`session_initiate`, but `sourceadd`), and how often it
    /// occurred.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let name = |action: &str| match action.strip_prefix("source-") {
            Some(what) => format!("source{what}"),
            None => action.replace('-', "_"),
        };
        ACTIONS
            .iter()
            .zip(self.0)
            .map(move |(action, count)| (name(action), count))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// Counts a payload, if it is a Jingle request.
    pub(crate) fn note(&mut self, payload: &Element) {
        if payload.name() != "jingle" {
            return;
        }
        let action = match payload.attr("action") {
            Some("addsource") => "source-add",
            Some("removesource") => "source-remove",
            Some(action) => action,
            None => return,
        };
        let at = ACTIONS.iter().position(|known| *known == action);
        if let Some(count) = at.and_then(|at| self.0.get_mut(at)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_count_together_and_strangers_do_not() {
        let mut counts = JingleCounts::default();
        for xml in [
            "<jingle xmlns='urn:xmpp:jingle:1' action='source-add' sid='1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='addsource' sid='1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='1'/>",
            "<jingle xmlns='urn:xmpp:jingle:1' sid='1'/>",
            "<query xmlns='jabber:iq:version' action='source-add'/>",
        ] {
            counts.note(&xml.parse().unwrap());
        }
        let some: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(
            some,
            [
                ("session_accept".to_owned(), 1),
                ("sourceadd".to_owned(), 2)
            ]
        );
    }
}
