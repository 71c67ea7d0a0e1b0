//! Sessions end: they leave their rooms, and what they had to answer is refused in their name.

use stanza::error::Condition;

use super::Server;
use crate::ids::SessionId;
use crate::outgoing::Output;
use crate::requests::{Open, RequestKey, failure, is_conference_request};

impl Server {
    /// Ends the sessions that broke a rule or a limit during this call.
    pub(super) fn end_doomed(&mut self) {
        while let Some((id, reason)) = self.core.doomed.pop() {
            let Some(session) = self.core.sessions.get(&id) else {
                continue;
            };
            if let Some(connection) = session.connection {
                self.core
                    .outputs
                    .push_back(Output::Close { connection, reason });
            }
            self.end(id);
        }
    }

    /// Ends a session: it leaves its rooms, and what it had to answer is refused in its name.
    pub(super) fn end(&mut self, id: SessionId) {
        let Some(session) = self.core.forget(id) else {
            return;
        };
        self.held.retain(|held| held.session != id);
        self.leave_rooms(id, session.rooms);
        self.refuse_open(id);
    }

    /// Requests that a session did not answer are answered in its place, or asked again where another can answer.
    fn refuse_open(&mut self, id: SessionId) {
        for (key, open) in self.core.requests.take_all(id) {
            self.refuse_request(&key, open);
        }
    }

    /// The same for one.
    pub(super) fn refuse_request(&mut self, key: &RequestKey, mut open: Open) {
        let again = open.again.take();
        match again.filter(|(request, _)| is_conference_request(request)) {
            Some((request, errand)) => {
                drop(open);
                self.ask_again(key.requester, request, errand);
            }
            None => {
                let error = failure(key, &open, Condition::ServiceUnavailable);
                self.core.send_element(key.requester, error);
            }
        }
    }
}
