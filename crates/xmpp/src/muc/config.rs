//! What a room says about itself, and its configuration form.

use stanza::data_form::{DataForm, FormKind};
use stanza::disco::Info;
use stanza::error::{Condition, StanzaError};
use stanza::iq::{IqType, iq_type};
use stanza::muc::{Affiliation, NS_ROOM_CONFIG, NS_ROOM_INFO, Owner, User, status};
use stanza::{Element, element, ns};

use super::{Room, RoomKind};
use crate::core::Core;
use crate::ids::SessionId;

/// What an owner's request came to.
pub(crate) enum OwnerOutcome {
    /// Answer the IQ with this payload.
    Answer(Option<Element>),
    /// Answer, then end the room.
    Destroy(stanza::muc::Destroy),
}

fn bit(value: bool) -> Option<&'static str> {
    Some(if value { "1" } else { "0" })
}

impl Room {
    /// Answer to `disco#info`. Only occupants and service accounts learn anything.
    pub(crate) fn info(&self, core: &Core, from: SessionId) -> Result<Info, StanzaError> {
        if self.occupants.by_session(from).is_none() && !core.rights(from).service {
            return Err(Condition::Forbidden.into());
        }
        let access = if self.members_only {
            "muc_membersonly"
        } else {
            "muc_open"
        };
        let secured = if self.password.is_some() {
            "muc_passwordprotected"
        } else {
            "muc_unsecured"
        };
        let mut form = DataForm::new(FormKind::Result, NS_ROOM_INFO)
            .field(
                "muc#roominfo_description",
                "text-single",
                "Description",
                Some(""),
            )
            .field(
                "muc#roominfo_occupants",
                "text-single",
                "Number of occupants",
                Some(&self.occupants.len().to_string()),
            );
        if self.kind != RoomKind::Internal {
            form = form.field(
                "muc#roominfo_meetingId",
                "text-single",
                "The meeting unique id.",
                Some(&self.meeting_id),
            );
        }
        if let Some(created) = self.created_ms {
            let created = created.to_string();
            form = form.field(
                "muc#roominfo_created_timestamp",
                "text-single",
                "The meeting created_timestamp.",
                Some(&created),
            );
        }
        if let Some(lobby) = self.services.lobby_jid(core, &self.jid) {
            form = form.field(
                "muc#roominfo_lobbyroom",
                "text-single",
                "Lobby room jid",
                Some(lobby.as_str()),
            );
        }
        let mut info = Info::default()
            .identity("conference", "text", None)
            .features([
                ns::MUC,
                access,
                secured,
                "muc_nonanonymous",
                "muc_hidden",
                "muc_temporary",
                "muc_unmoderated",
                ns::DISCO_INFO,
            ]);
        info.forms.push(form);
        Ok(info)
    }

    /// Handles an IQ with a `muc#owner` query.
    pub(crate) fn owner(
        &mut self,
        core: &mut Core,
        from: SessionId,
        stanza: &Element,
        query: &Element,
    ) -> Result<OwnerOutcome, StanzaError> {
        let owner = match self.occupants.by_session(from) {
            Some(occupant) => occupant.affiliation == Affiliation::Owner,
            None => core.rights(from).admin,
        };
        if !owner {
            return Err(Condition::Forbidden.into());
        }
        if iq_type(stanza) == Some(IqType::Get) {
            // Some clients put a form into the question; it means nothing.
            return Ok(OwnerOutcome::Answer(Some(Owner::Form(self.form()).into())));
        }
        match Owner::try_from(query).map_err(|_| StanzaError::new(Condition::BadRequest))? {
            Owner::Query => Err(Condition::BadRequest.into()),
            Owner::Destroy(destroy) => Ok(OwnerOutcome::Destroy(destroy)),
            Owner::Form(form) => match form.kind {
                FormKind::Submit => self
                    .submit(core, from, &form)
                    .map(|()| OwnerOutcome::Answer(None)),
                FormKind::Cancel => Ok(OwnerOutcome::Answer(None)),
                _ => Err(Condition::BadRequest.into()),
            },
        }
    }

    fn form(&self) -> DataForm {
        let secret = self.password.as_deref().unwrap_or_default();
        DataForm::new(FormKind::Form, NS_ROOM_CONFIG)
            .field("muc#roomconfig_roomname", "text-single", "Title", Some(""))
            .field(
                "muc#roomconfig_persistentroom",
                "boolean",
                "Persistent",
                bit(false),
            )
            .field("muc#roomconfig_publicroom", "boolean", "Public", bit(false))
            .field(
                "muc#roomconfig_roomsecret",
                "text-private",
                "Password",
                Some(secret),
            )
            .field(
                "muc#roomconfig_passwordprotectedroom",
                "boolean",
                "Password needed",
                bit(self.password.is_some()),
            )
            .field(
                "muc#roominfo_meetingId",
                "text-single",
                "The meeting unique id.",
                Some(&self.meeting_id),
            )
            .field(
                "muc#roomconfig_membersonly",
                "boolean",
                "Only members may join",
                bit(self.members_only),
            )
            .field(
                "muc#roomconfig_moderatedroom",
                "boolean",
                "Moderated",
                bit(false),
            )
            .field(
                "muc#roomconfig_whois",
                "list-single",
                "Who may see addresses",
                Some("anyone"),
            )
    }

    /// Applies a partial form: what it does not name stays.
    fn submit(
        &mut self,
        core: &mut Core,
        from: SessionId,
        form: &DataForm,
    ) -> Result<(), StanzaError> {
        if form.form_type().is_some_and(|kind| kind != NS_ROOM_CONFIG) {
            return Err(Condition::BadRequest.into());
        }
        let secret = form.get("muc#roomconfig_roomsecret");
        if secret.is_some_and(|secret| secret.len() > 1_024) {
            return Err(Condition::NotAcceptable.into());
        }
        let mut changed = false;
        let password = match (secret, form.flag("muc#roomconfig_passwordprotectedroom")) {
            (Some(""), _) | (None, Some(false)) => None,
            (Some(secret), _) => Some(secret.to_owned()),
            (None, _) => self.password.clone(),
        };
        changed |= password != self.password;
        self.password = password;
        if let Some(id) = form
            .get("muc#roominfo_meetingId")
            .filter(|id| !id.is_empty() && id.len() <= 128)
            && core.rights(from).admin
        {
            changed |= self.meeting_id != id;
            self.meeting_id = id.to_owned();
        }
        if let Some(members_only) = form.flag("muc#roomconfig_membersonly")
            && members_only != self.members_only
        {
            changed = true;
            self.members_only = members_only;
            self.serve_members_only(core, from);
        }
        if changed {
            self.config_changed(core);
        }
        Ok(())
    }

    /// Tells everybody to look at the room's information again.
    pub(crate) fn config_changed(&self, core: &mut Core) {
        let user = User {
            status: vec![status::CONFIG_CHANGED],
            ..User::default()
        };
        let message = element("message", ns::CLIENT)
            .attr("type", "groupchat")
            .child(Element::from(user))
            .done();
        self.notify(core, message);
    }
}
