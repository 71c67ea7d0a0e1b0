//! The one list of XML namespaces.

macro_rules! namespaces {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $value)),*];
    };
}

namespaces! {
    /// RFC 6120: stanzas. All stanzas inside the system are in it.
    CLIENT = "jabber:client";
    /// RFC 6120: the stream element, its features and errors.
    STREAM = "http://etherx.jabber.org/streams";
    /// RFC 6120: conditions of stream errors.
    STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams";
    /// RFC 6120: conditions of stanza errors.
    STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// RFC 6120: STARTTLS.
    TLS = "urn:ietf:params:xml:ns:xmpp-tls";
    /// RFC 6120: SASL.
    SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
    /// RFC 6120: resource binding.
    BIND = "urn:ietf:params:xml:ns:xmpp-bind";
    /// RFC 3921: session establishment (obsolete, still asked for by some).
    SESSION = "urn:ietf:params:xml:ns:xmpp-session";
    /// XEP-0077: in-band registration.
    REGISTER = "jabber:iq:register";
    /// RFC 7395: WebSocket framing.
    FRAMING = "urn:ietf:params:xml:ns:xmpp-framing";
    /// XEP-0124: BOSH.
    HTTP_BIND = "http://jabber.org/protocol/httpbind";
    /// XEP-0206: XMPP over BOSH.
    XBOSH = "urn:xmpp:xbosh";
    /// XEP-0198: stream management.
    SM = "urn:xmpp:sm:3";
    /// XEP-0199: ping.
    PING = "urn:xmpp:ping";
    /// XEP-0202: entity time.
    TIME = "urn:xmpp:time";
    /// XEP-0203: delayed delivery.
    DELAY = "urn:xmpp:delay";
    /// XEP-0091: delayed delivery, obsolete form.
    DELAY_LEGACY = "jabber:x:delay";
    /// XEP-0030: service discovery, information.
    DISCO_INFO = "http://jabber.org/protocol/disco#info";
    /// XEP-0030: service discovery, items.
    DISCO_ITEMS = "http://jabber.org/protocol/disco#items";
    /// XEP-0115: entity capabilities.
    CAPS = "http://jabber.org/protocol/caps";
    /// XEP-0215: external services.
    EXTDISCO = "urn:xmpp:extdisco:2";
    /// XEP-0215: external services, first version.
    EXTDISCO_1 = "urn:xmpp:extdisco:1";
    /// XEP-0004: data forms.
    DATA = "jabber:x:data";
    /// XEP-0092: software version.
    VERSION = "jabber:iq:version";
    /// RFC 6121: roster.
    ROSTER = "jabber:iq:roster";
    /// XEP-0280: message carbons.
    CARBONS = "urn:xmpp:carbons:2";
    /// XEP-0172: user nickname.
    NICK = "http://jabber.org/protocol/nick";
    /// XEP-0033: extended addressing.
    ADDRESS = "http://jabber.org/protocol/address";
    /// XEP-0334: message processing hints.
    HINTS = "urn:xmpp:hints";
    /// XEP-0085: chat state notifications.
    CHAT_STATES = "http://jabber.org/protocol/chatstates";
    /// XEP-0249: direct invitations.
    CONFERENCE = "jabber:x:conference";
    /// XEP-0444: reactions.
    REACTIONS = "urn:xmpp:reactions:0";
    /// XEP-0424: message retraction.
    RETRACT = "urn:xmpp:message-retract:1";
    /// XEP-0461: replies.
    REPLY = "urn:xmpp:reply:0";
    /// XEP-0428: fallback indication.
    FALLBACK = "urn:xmpp:fallback:0";
    /// XEP-0359: stanza and origin ids.
    STANZA_ID = "urn:xmpp:sid:0";
    /// XEP-0421: occupant identifiers.
    OCCUPANT_ID = "urn:xmpp:occupant-id:0";

    /// XEP-0045: multi-user chat, join and history.
    MUC = "http://jabber.org/protocol/muc";
    /// XEP-0045: what the room tells its occupants.
    MUC_USER = "http://jabber.org/protocol/muc#user";
    /// XEP-0045: moderation.
    MUC_ADMIN = "http://jabber.org/protocol/muc#admin";
    /// XEP-0045: configuration and destruction.
    MUC_OWNER = "http://jabber.org/protocol/muc#owner";
    /// XEP-0045: form of the room configuration.
    MUC_ROOMCONFIG = "http://jabber.org/protocol/muc#roomconfig";
    /// XEP-0045: form of the room information.
    MUC_ROOMINFO = "http://jabber.org/protocol/muc#roominfo";
    /// XEP-0045: form of a registration or voice request.
    MUC_REQUEST = "http://jabber.org/protocol/muc#request";

    /// XEP-0166: Jingle.
    JINGLE = "urn:xmpp:jingle:1";
    /// XEP-0166: conditions of Jingle errors.
    JINGLE_ERRORS = "urn:xmpp:jingle:errors:1";
    /// XEP-0167: RTP sessions.
    JINGLE_RTP = "urn:xmpp:jingle:apps:rtp:1";
    /// XEP-0167: feature audio.
    JINGLE_RTP_AUDIO = "urn:xmpp:jingle:apps:rtp:audio";
    /// XEP-0167: feature video.
    JINGLE_RTP_VIDEO = "urn:xmpp:jingle:apps:rtp:video";
    /// XEP-0167: information messages.
    JINGLE_RTP_INFO = "urn:xmpp:jingle:apps:rtp:info:1";
    /// XEP-0293: feedback negotiation.
    JINGLE_RTCP_FB = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0";
    /// XEP-0294: header extensions.
    JINGLE_RTP_HDREXT = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0";
    /// XEP-0339: source-specific media attributes.
    JINGLE_SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0";
    /// XEP-0338: grouping.
    JINGLE_GROUPING = "urn:xmpp:jingle:apps:grouping:0";
    /// XEP-0320: DTLS.
    JINGLE_DTLS = "urn:xmpp:jingle:apps:dtls:0";
    /// XEP-0176: ICE over UDP.
    JINGLE_ICE_UDP = "urn:xmpp:jingle:transports:ice-udp:1";
    /// XEP-0343: data channels.
    JINGLE_DTLS_SCTP = "urn:xmpp:jingle:transports:dtls-sctp:1";
    /// RFC 4588: retransmission, as a disco feature.
    RTX = "urn:ietf:rfc:4588";
    /// RFC 5761: RTCP multiplexing, as a disco feature.
    RTCP_MUX = "urn:ietf:rfc:5761";
    /// RFC 5888: bundling, as a disco feature.
    BUNDLE = "urn:ietf:rfc:5888";

    /// Conference requests, conference properties, bridge sessions.
    FOCUS = "http://jitsi.org/protocol/focus";
    /// General Jitsi payloads: `json-message`, versions, permissions, session ids.
    JITMEET = "http://jitsi.org/jitmeet";
    /// The marker of presence a client shall ignore (with a slash at its end).
    JITMEET_SLASH = "http://jitsi.org/jitmeet/";
    /// Start muted.
    JITMEET_START_MUTED = "http://jitsi.org/jitmeet/start-muted";
    /// Remote mute, audio.
    JITMEET_AUDIO = "http://jitsi.org/jitmeet/audio";
    /// Remote mute, video; height of a source in peer-to-peer mode.
    JITMEET_VIDEO = "http://jitsi.org/jitmeet/video";
    /// Remote mute, screen share.
    JITMEET_DESKTOP = "http://jitsi.org/jitmeet/desktop";
    /// The URL of a bridge's web socket inside a transport.
    COLIBRI_WEB_SOCKET = "http://jitsi.org/protocol/colibri";
    /// The protocol name of the bridge channel in `sctpmap` (plural, unlike the web socket's).
    COLIBRI_CHANNEL = "http://jitsi.org/protocols/colibri";
    /// Statistics of a bridge in its brewery presence.
    COLIBRI_STATS = "http://jitsi.org/protocol/colibri";
    /// Conference control of a bridge.
    COLIBRI2 = "jitsi:colibri2";
    /// Tracing context.
    OPENTELEMETRY = "jitsi:opentelemetry";
    /// Recording and streaming.
    JIBRI = "http://jitsi.org/protocol/jibri";
    /// Telephony control.
    RAYO = "urn:xmpp:rayo:1";
    /// Telephony control, client feature.
    RAYO_CLIENT = "urn:xmpp:rayo:client:1";
    /// Visitors.
    VISITORS = "jitsi:visitors";
    /// Names of a transcript's speaker or a relayed sender.
    DISPLAY_NAME = "http://jitsi.org/protocol/display-name";
    /// Health checks of a bridge.
    HEALTH = "http://jitsi.org/protocol/healthcheck";
    /// Ask a bridge to shut down.
    SHUTDOWN = "http://jitsi.org/protocol/shutdown";
    /// Feature: sources may be sent as compact JSON.
    JSON_SOURCES = "http://jitsi.org/json-encoded-sources";
    /// Feature: names sources in signalling.
    SOURCE_NAME = "http://jitsi.org/source-name";
    /// Feature: several videos per participant.
    MULTIPLE_VIDEO = "http://jitsi.org/receive-multiple-video-streams";
    /// Feature: wants SSRC rewriting.
    SSRC_REWRITING = "http://jitsi.org/ssrc-rewriting-1";
    /// Feature: may receive `mid` in source maps.
    RTP_MID_DEMUX = "http://jitsi.org/rtp-mid-demux";
    /// Feature: Opus with redundancy.
    OPUS_RED = "http://jitsi.org/opus-red";
    /// Feature: REMB.
    REMB = "http://jitsi.org/remb";
    /// Feature: transport-wide congestion control.
    TCC = "http://jitsi.org/tcc";
    /// Feature: supports visitors.
    VISITORS_FEATURE = "http://jitsi.org/visitors-1";
    /// Feature: start-muted policy through room metadata.
    START_MUTED_METADATA = "http://jitsi.org/start-muted-room-metadata";
    /// Feature: end-to-end encryption.
    E2EE = "https://jitsi.org/meet/e2ee";
    /// Ours: the place of the focus in a room.
    PLACE = "urn:pontoon:place:0";
    /// Ours: a client takes a second session beside the first and says when it can do without that one.
    MOVES = "urn:pontoon:moves:0";
    /// Ours: a client holds such a second session without using it, until the first ends or it is told to.
    SPARES = "urn:pontoon:spares:0";
    /// Ours: a transport takes DTLS inside of connectivity checks.
    SPED = "urn:pontoon:sped:0";
    /// What would stand in an SCTP INIT, in the transport (draft-hancke-tsvwg-snap).
    SNAP = "urn:pontoon:snap:0";
    /// Ours: whom a bridge hears.
    PEOPLE = "urn:pontoon:people:0";
    /// Ours: a bridge shall become empty.
    DRAIN = "urn:pontoon:drain:0";
    /// Ours: whether media ports of another bridge answer.
    PROBE = "urn:pontoon:probe:0";
    /// Feature on lobby rooms.
    LOBBY_DISPLAY_NAME = "http://jitsi.org/protocol/lobbyrooms#displayname_required";
    /// Feature on breakout rooms.
    BREAKOUT_RENAME = "http://jitsi.org/protocol/breakout_rooms#rename";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn names_are_unique_and_trimmed() {
        for (i, (name, value)) in ALL.iter().enumerate() {
            assert_eq!(value.trim(), *value, "{name}");
            assert!(!value.is_empty(), "{name}");
            assert!(
                ALL.iter().skip(i + 1).all(|(other, _)| other != name),
                "{name} twice"
            );
        }
    }
}
