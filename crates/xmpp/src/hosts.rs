//! The names this server answers for.

use stanza::{BareJid, Jid};

use crate::config::Config;

/// What stands behind one of the server's host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// Clients, discovery, external services.
    Main,
    /// Service accounts.
    Auth,
    /// Meetings, also under a tenant's name.
    Muc,
    /// Rooms of service accounts.
    InternalMuc,
    /// Waiting rooms.
    Lobby,
    /// The focus, by proxy.
    Focus,
    /// "End meeting for all".
    EndConference,
    /// Moderation of microphones, cameras and screens.
    AvModeration,
    /// The document all participants share.
    Metadata,
    /// Polls.
    Polls,
    /// Speaking times.
    SpeakerStats,
}

/// A component told to clients as a disco identity of the main host.
pub(crate) struct Component {
    pub(crate) kind: &'static str,
    pub(crate) host: String,
}

/// All host names of one server.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    pub(crate) main: String,
    pub(crate) auth: String,
    pub(crate) muc: String,
    pub(crate) internal_muc: String,
    pub(crate) lobby: String,
    pub(crate) focus: String,
    pub(crate) end_conference: String,
    pub(crate) av_moderation: String,
    pub(crate) metadata: String,
    pub(crate) polls: String,
    pub(crate) speaker_stats: String,
    muc_prefix: String,
}

impl Hosts {
    pub(crate) fn new(config: &Config) -> Self {
        let main = config.domain.to_lowercase();
        let sub = |label: &str| format!("{label}.{main}");
        Self {
            auth: sub("auth"),
            muc: sub(&config.muc_prefix),
            internal_muc: config
                .internal_muc
                .clone()
                .unwrap_or_else(|| sub("internal.auth")),
            lobby: sub("lobby"),
            focus: sub("focus"),
            end_conference: sub("endconference"),
            av_moderation: sub("avmoderation"),
            metadata: sub("metadata"),
            polls: sub("polls"),
            speaker_stats: sub("speakerstats"),
            muc_prefix: config.muc_prefix.clone(),
            main,
        }
    }

    /// What stands behind `domain`, if it is ours.
    pub(crate) fn classify(&self, domain: &str) -> Option<Host> {
        let host = match domain {
            _ if domain == self.main => Host::Main,
            _ if domain == self.auth => Host::Auth,
            _ if domain == self.muc => Host::Muc,
            _ if domain == self.internal_muc => Host::InternalMuc,
            _ if domain == self.lobby => Host::Lobby,
            _ if domain == self.focus => Host::Focus,
            _ if domain == self.end_conference => Host::EndConference,
            _ if domain == self.av_moderation => Host::AvModeration,
            _ if domain == self.metadata => Host::Metadata,
            _ if domain == self.polls => Host::Polls,
            _ if domain == self.speaker_stats => Host::SpeakerStats,
            _ => return self.tenant_of(domain).map(|_| Host::Muc),
        };
        Some(host)
    }

    /// The tenant in `conference.<tenant>.<main>`: exactly one label.
    pub(crate) fn tenant_of<'a>(&self, domain: &'a str) -> Option<&'a str> {
        let tenant = domain
            .strip_prefix(&self.muc_prefix)?
            .strip_prefix('.')?
            .strip_suffix(&self.main)?
            .strip_suffix('.')?;
        (!tenant.is_empty() && !tenant.contains('.')).then_some(tenant)
    }

    /// The room of an occupant's address.
    pub(crate) fn room_of(&self, occupant: &str) -> Option<BareJid> {
        let occupant = Jid::new(occupant).ok()?;
        Some(self.canonical_room(&occupant.to_bare()))
    }

    /// The address by which clients know a meeting room. Rooms of a tenant may also be called
    /// `[tenant]room@conference.<main>`; there is one form inside.
    pub(crate) fn canonical_room(&self, room: &BareJid) -> BareJid {
        if room.domain().as_str() != self.muc {
            return room.clone();
        }
        let external = || {
            let (tenant, name) = room.node()?.as_str().strip_prefix('[')?.split_once(']')?;
            let domain = format!("{}.{tenant}.{}", self.muc_prefix, self.main);
            self.tenant_of(&domain)?;
            BareJid::new(&format!("{name}@{domain}")).ok()
        };
        external().unwrap_or_else(|| room.clone())
    }

    /// The meeting room a client names in the URL of its connection.
    pub(crate) fn room_of_query(&self, room: &str, tenant: &str) -> Option<BareJid> {
        let domain = match tenant {
            "" => self.muc.clone(),
            tenant => format!(
                "{}.{}.{}",
                self.muc_prefix,
                stanza::jitsi::room::tenant_label(tenant),
                self.main
            ),
        };
        BareJid::new(&format!("{}@{domain}", room.to_lowercase())).ok()
    }

    /// The waiting room of a meeting: `[tenant]room@lobby.<main>` for a tenant's.
    pub(crate) fn lobby_of(&self, room: &BareJid) -> Option<BareJid> {
        let node = room.node()?.as_str();
        let name = match self.tenant_of(room.domain().as_str()) {
            Some(tenant) => format!("[{tenant}]{node}@{}", self.lobby),
            None => format!("{node}@{}", self.lobby),
        };
        BareJid::new(&name).ok()
    }

    /// The meeting a waiting room belongs to.
    pub(crate) fn meeting_of_lobby(&self, lobby: &Jid) -> Option<BareJid> {
        let node = lobby.node()?.as_str();
        let room = BareJid::new(&format!("{node}@{}", self.muc)).ok()?;
        Some(self.canonical_room(&room))
    }

    /// The components a client may use, in the order they are told.
    pub(crate) fn components(&self) -> Vec<Component> {
        [
            ("speakerstats", &self.speaker_stats),
            ("av_moderation", &self.av_moderation),
            ("end_conference", &self.end_conference),
            ("lobbyrooms", &self.lobby),
            ("room_metadata", &self.metadata),
            ("polls", &self.polls),
        ]
        .into_iter()
        .map(|(kind, host)| Component {
            kind,
            host: host.clone(),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts::new(&Config::new("Meet.Example.com", b"secret"))
    }

    #[test]
    fn names_are_told_apart() {
        let hosts = hosts();
        for (name, host) in [
            ("meet.example.com", Some(Host::Main)),
            ("auth.meet.example.com", Some(Host::Auth)),
            ("conference.meet.example.com", Some(Host::Muc)),
            ("conference.acme.meet.example.com", Some(Host::Muc)),
            ("conference.a.b.meet.example.com", None),
            ("conference..meet.example.com", None),
            ("internal.auth.meet.example.com", Some(Host::InternalMuc)),
            ("focus.meet.example.com", Some(Host::Focus)),
            ("example.com", None),
            ("evilmeet.example.com", None),
        ] {
            assert_eq!(hosts.classify(name), host, "{name}");
        }
    }

    #[test]
    fn rooms_of_tenants_have_one_form_inside() {
        let hosts = hosts();
        let jid = |text: &str| BareJid::new(text).unwrap();
        let external = jid("r@conference.acme.meet.example.com");
        assert_eq!(
            hosts.canonical_room(&jid("[acme]r@conference.meet.example.com")),
            external
        );
        assert_eq!(hosts.canonical_room(&external), external);
        let plain = jid("r@conference.meet.example.com");
        assert_eq!(hosts.canonical_room(&plain), plain);
        let odd = jid("[a.b]r@conference.meet.example.com");
        assert_eq!(hosts.canonical_room(&odd), odd);
        let lobby = hosts.lobby_of(&external).unwrap();
        assert_eq!(lobby, jid("[acme]r@lobby.meet.example.com"));
        assert_eq!(hosts.meeting_of_lobby(&lobby), Some(external.clone()));
        assert_eq!(hosts.room_of_query("R", "Acme"), Some(external));
        let office = jid("r@conference.b=c3=bcro.meet.example.com");
        assert_eq!(hosts.room_of_query("r", "Büro"), Some(office));
        assert_eq!(
            hosts.room_of_query("caf%c3%a9", ""),
            Some(jid("caf%c3%a9@conference.meet.example.com"))
        );
    }
}
