//! Conference requests: `<conference xmlns='http://jitsi.org/protocol/focus'>` and its JSON form over HTTP.
use std::collections::BTreeMap;

use jid::BareJid;
use minidom::Element;
use serde_json::{Map, Value};
use thiserror::Error;

use super::room::{self, RoomNameError};
use crate::build::{Build, element};

/// Namespace of conference requests and of most of what a focus puts into stanzas.
pub const NS: &str = "http://jitsi.org/protocol/focus";

const MAX_PROPERTIES: usize = 64;
const MAX_TEXT: usize = 8 * 1024;

/// Why a conference request cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConferenceRequestError {
    /// The request names no room.
    #[error("the room is missing")]
    NoRoom,
    /// The room is not a bare address with a local part.
    #[error("the room is not a valid room address")]
    BadRoom,
    /// The room has a name that no room can have.
    #[error(transparent)]
    Name(#[from] RoomNameError),
    /// The body is not the JSON object this form wants.
    #[error("not a JSON object of the expected form: {0}")]
    Json(String),
    /// More properties or longer texts than any client sends.
    #[error("too many or too long properties")]
    TooLarge,
    /// The element is another one.
    #[error("not a conference element")]
    WrongElement,
}

/// A client asks for a conference to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceRequest {
    /// The room, with a local part.
    pub room: BareJid,
    /// Identifies the installation of the client.
    pub machine_uid: Option<String>,
    /// An authentication session got from an earlier answer.
    pub session_id: Option<String>,
    /// A token, passed on unchecked.
    pub token: Option<String>,
    /// Settings: `startAudioMuted`, `startVideoMuted`, `rtcstatsEnabled`, `visitors-version`, ...
    pub properties: BTreeMap<String, String>,
}

/// The answer to a [`ConferenceRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceResponse {
    /// The room of the request.
    pub room: BareJid,
    /// The focus is in the room: the client may join.
    pub ready: bool,
    /// Account of the focus, by which clients know its occupant.
    pub focus_jid: Option<BareJid>,
    /// Authentication session.
    pub session_id: Option<String>,
    /// Authenticated account.
    pub identity: Option<String>,
    /// Node for visitors the client shall use instead.
    pub vnode: Option<String>,
    /// Further answers: `authentication`, `visitors-supported`, ...
    pub properties: BTreeMap<String, String>,
}

impl ConferenceRequest {
    /// A request for `room` and nothing else.
    #[must_use]
    pub fn new(room: BareJid) -> Self {
        Self {
            room,
            machine_uid: None,
            session_id: None,
            token: None,
            properties: BTreeMap::new(),
        }
    }

    /// Reads the body of `POST /conference-request/v1`.
    ///
    /// # Errors
    /// If it is not such an object, names no valid room, or is larger than any client makes it.
    pub fn from_json(body: &[u8]) -> Result<Self, ConferenceRequestError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|e| ConferenceRequestError::Json(e.to_string()))?;
        let Value::Object(object) = value else {
            return Err(ConferenceRequestError::Json("not an object".to_owned()));
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut request = Self::new(parse_room(object.get("room").and_then(Value::as_str))?);
        request.machine_uid = text("machineUid");
        request.session_id = text("sessionId");
        request.token = text("token");
        if let Some(Value::Object(properties)) = object.get("properties") {
            for (key, value) in properties {
                // Clients send numbers and booleans unquoted.
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => continue,
                };
                request.insert(key, value)?;
            }
        }
        Ok(request)
    }

    fn insert(&mut self, key: &str, value: String) -> Result<(), ConferenceRequestError> {
        if self.properties.len() >= MAX_PROPERTIES || key.len() > MAX_TEXT || value.len() > MAX_TEXT
        {
            return Err(ConferenceRequestError::TooLarge);
        }
        self.properties.insert(key.to_owned(), value);
        Ok(())
    }
}

impl TryFrom<&Element> for ConferenceRequest {
    type Error = ConferenceRequestError;

    fn try_from(element: &Element) -> Result<Self, Self::Error> {
        if !element.is("conference", NS) {
            return Err(ConferenceRequestError::WrongElement);
        }
        let mut request = Self::new(parse_room(element.attr("room"))?);
        request.machine_uid = element.attr("machine-uid").map(str::to_owned);
        request.session_id = element.attr("session-id").map(str::to_owned);
        request.token = element.attr("token").map(str::to_owned);
        for property in element.children().filter(|c| c.is("property", NS)) {
            if let (Some(name), Some(value)) = (property.attr("name"), property.attr("value")) {
                request.insert(name, value.to_owned())?;
            }
        }
        Ok(request)
    }
}

impl From<ConferenceRequest> for Element {
    fn from(request: ConferenceRequest) -> Self {
        let element = element("conference", NS)
            .attr("room", request.room)
            .attr_opt("machine-uid", request.machine_uid)
            .attr_opt("session-id", request.session_id)
            .attr_opt("token", request.token);
        append_properties(element, request.properties)
    }
}

impl ConferenceResponse {
    /// An answer with nothing but the state of `room`.
    #[must_use]
    pub fn new(room: BareJid, ready: bool) -> Self {
        Self {
            room,
            ready,
            focus_jid: None,
            session_id: None,
            identity: None,
            vnode: None,
            properties: BTreeMap::new(),
        }
    }

    /// The body of the HTTP answer; fields without a value are left out, but clients need `properties` even if it is empty.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("room".into(), self.room.to_string().into());
        object.insert("ready".into(), self.ready.into());
        let optional = [
            ("focusJid", self.focus_jid.as_ref().map(ToString::to_string)),
            ("sessionId", self.session_id.clone()),
            ("identity", self.identity.clone()),
            ("vnode", self.vnode.clone()),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                object.insert(key.into(), value.into());
            }
        }
        let properties: Map<String, Value> = self
            .properties
            .iter()
            .map(|(k, v)| (k.clone(), v.clone().into()))
            .collect();
        object.insert("properties".into(), properties.into());
        Value::Object(object).to_string()
    }
}

impl From<ConferenceResponse> for Element {
    fn from(response: ConferenceResponse) -> Self {
        let element = element("conference", NS)
            .attr("room", response.room)
            .attr("ready", response.ready)
            .attr_opt("focusjid", response.focus_jid)
            .attr_opt("session-id", response.session_id)
            .attr_opt("identity", response.identity)
            .attr_opt("vnode", response.vnode);
        append_properties(element, response.properties)
    }
}

fn parse_room(room: Option<&str>) -> Result<BareJid, ConferenceRequestError> {
    let room = room
        .filter(|room| !room.is_empty())
        .ok_or(ConferenceRequestError::NoRoom)?;
    if let Some((name, _domain)) = room.split_once('@') {
        room::check(name)?;
    }
    let room = BareJid::new(room).map_err(|_| ConferenceRequestError::BadRoom)?;
    if room.node().is_none() {
        return Err(ConferenceRequestError::BadRoom);
    }
    Ok(room)
}

fn append_properties(parent: Build, properties: BTreeMap<String, String>) -> Element {
    parent
        .children(properties.into_iter().map(|(name, value)| {
            element("property", NS)
                .attr("name", name)
                .attr("value", value)
        }))
        .done()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_web_client_over_http() {
        let body = br#"{"machineUid":"0c2f","sessionId":null,"properties":{"startAudioMuted":10,"rtcstatsEnabled":false,"visitors-version":"1","odd":[]},"room":"standup@conference.meet.test","more":1}"#;
        let request = ConferenceRequest::from_json(body).unwrap();
        assert_eq!(request.room.to_string(), "standup@conference.meet.test");
        assert_eq!(
            (request.machine_uid.as_deref(), request.session_id),
            (Some("0c2f"), None)
        );
        let properties: Vec<_> = request
            .properties
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            properties,
            [
                ("rtcstatsEnabled", "false"),
                ("startAudioMuted", "10"),
                ("visitors-version", "1")
            ]
        );
    }

    #[test]
    fn requests_that_cannot_be_understood() {
        for (body, error) in [
            ("[]", ConferenceRequestError::Json("not an object".into())),
            ("{}", ConferenceRequestError::NoRoom),
            (r#"{"room":""}"#, ConferenceRequestError::NoRoom),
            (
                r#"{"room":"conference.meet.test"}"#,
                ConferenceRequestError::BadRoom,
            ),
            (r#"{"room":"a@b/c"}"#, ConferenceRequestError::BadRoom),
            (r#"{"room":"@c.test"}"#, RoomNameError::Empty.into()),
            (
                r#"{"room":"config.js@c.test"}"#,
                RoomNameError::Reserved("config.js".to_owned()).into(),
            ),
        ] {
            assert_eq!(
                ConferenceRequest::from_json(body.as_bytes()),
                Err(error),
                "{body}"
            );
        }
        assert!(matches!(
            ConferenceRequest::from_json(b"{"),
            Err(ConferenceRequestError::Json(_))
        ));
    }

    #[test]
    fn answers_name_what_there_is() {
        let mut response = ConferenceResponse::new(BareJid::new("r@c.test").unwrap(), true);
        assert_eq!(
            response.to_json(),
            r#"{"properties":{},"ready":true,"room":"r@c.test"}"#
        );
        response.focus_jid = BareJid::new("focus@auth.test").ok();
        let element = Element::from(response);
        assert_eq!(
            (element.attr("ready"), element.attr("focusjid")),
            (Some("true"), Some("focus@auth.test"))
        );
    }

    proptest! {
        #[test]
        fn the_two_forms_carry_the_same(
            uid in proptest::option::of("[a-z0-9]{1,12}"),
            properties in proptest::collection::btree_map("[a-zA-Z-]{1,12}", "\\PC{0,12}", 0..5),
        ) {
            let mut request = ConferenceRequest::new(BareJid::new("r@c.test").unwrap());
            request.machine_uid = uid;
            request.properties = properties;
            let element = Element::from(request.clone());
            prop_assert_eq!(ConferenceRequest::try_from(&element), Ok(request));
        }

        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ConferenceRequest::from_json(&body);
        }
    }
}
