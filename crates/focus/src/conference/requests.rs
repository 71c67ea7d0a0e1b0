//! What all Jingle requests have in common: how they are refused, and what stands in them.

use stanza::error::Condition;
use stanza::jingle::Jingle;
use stanza::media::IceTransport;

use crate::sources::SourceSet;

/// Why a request is refused: the condition, and words.
pub(super) type Refusal = (Condition, String);

pub(super) fn refuse<T>(condition: Condition, text: impl Into<String>) -> Result<T, Refusal> {
    Err((condition, text.into()))
}

/// The sources that `nick` names as its own.
pub(super) fn read_sources(nick: &str, jingle: &Jingle) -> Result<SourceSet, Refusal> {
    let set = match &jingle.sources {
        Some(compact) => SourceSet::from_compact(nick, compact),
        None => SourceSet::from_contents(nick, &jingle.contents),
    };
    set.or_else(|error| refuse(Condition::BadRequest, error.to_string()))
}

/// The transport that all contents share: that of the first content that has one, with the candidates of the others.
pub(super) fn bundled_transport(jingle: &Jingle) -> Option<IceTransport> {
    let mut transports = jingle
        .contents
        .iter()
        .filter_map(|content| content.transport.as_ref());
    let mut first = transports.next()?.clone();
    first.rtcp_mux = true;
    for other in transports
        .filter(|other| other.ufrag.is_none() || other.ufrag.as_deref() == first.ufrag.as_deref())
    {
        // Only what carries data says it.
        first.sctp_init = first.sctp_init.take().or_else(|| other.sctp_init.clone());
        for candidate in &other.candidates {
            if !first.candidates.contains(candidate) {
                first.candidates.push(candidate.clone());
            }
        }
    }
    Some(first)
}
