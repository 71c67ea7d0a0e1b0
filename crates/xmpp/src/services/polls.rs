//! Polls: a question with options, told to everybody; joiners get all of them with the votes so far.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stanza::{Element, ElementExt as _, ns};

use super::meeting::{Meeting, json_message};
use crate::core::Core;
use crate::ids::SessionId;
use crate::journal::{Part, PollRecord, VoteRecord};
use crate::occupants::Occupant;

/// Polls of one meeting.
const MOST: usize = 128;
/// Options of one poll; clients show no more.
const MOST_OPTIONS: usize = 32;
/// Largest message, in bytes of JSON.
const MAX_BYTES: usize = 4 << 10;
/// Options that may be chosen in one meeting, by all its people in all its polls: joiners are told each of them.
const MOST_VOTES: usize = 4_096;
/// Characters kept of a name.
const MAX_NAME: usize = 64;

#[derive(Debug)]
struct Vote {
    name: Option<String>,
    /// One for each option.
    chosen: Vec<bool>,
}

#[derive(Debug)]
struct Poll {
    id: String,
    sender: String,
    sender_name: Option<String>,
    question: String,
    options: Vec<String>,
    /// By endpoint id. People may leave; their votes stay.
    votes: BTreeMap<String, Vote>,
}

/// The polls of one meeting, oldest first.
#[derive(Debug, Default)]
pub(super) struct Polls {
    list: Vec<Poll>,
    /// The journal does not know them.
    changed: bool,
}

impl Poll {
    fn answers(&self) -> Vec<Value> {
        let voters = |index: usize| -> Vec<Value> {
            let chosen = |vote: &Vote| vote.chosen.get(index) == Some(&true);
            let voter = |(id, vote): (&String, &Vote)| {
                chosen(vote).then(|| json!({ "id": id, "name": vote.name }))
            };
            self.votes.iter().filter_map(voter).collect()
        };
        let answer =
            |(index, name): (usize, &String)| json!({ "name": name, "voters": voters(index) });
        self.options.iter().enumerate().map(answer).collect()
    }

    fn history(&self) -> Value {
        let poll = json!({
            "pollId": self.id,
            "senderId": self.sender,
            "senderName": self.sender_name,
            "question": self.question,
            "answers": self.answers(),
        });
        json!({ "type": "polls", "command": "old-polls", "polls": [poll] })
    }
}

impl Polls {
    /// Takes a new poll; `None` when it is none, or one too many.
    fn create(&mut self, request: &Value, id: &str, sender: &Occupant) -> Option<Value> {
        if self.list.len() >= MOST || self.list.iter().any(|poll| poll.id == id) {
            return None;
        }
        let name = |answer: &Value| Some(answer.get("name")?.as_str()?.to_owned());
        let options: Vec<String> = request["answers"]
            .as_array()?
            .iter()
            .map(name)
            .collect::<Option<_>>()?;
        if options.is_empty() || options.len() > MOST_OPTIONS {
            return None;
        }
        let poll = Poll {
            id: id.to_owned(),
            sender: sender.nick.clone(),
            sender_name: name_of(sender),
            question: request["question"].as_str()?.to_owned(),
            options,
            votes: BTreeMap::new(),
        };
        let answers: Vec<Value> = poll
            .options
            .iter()
            .map(|name| json!({ "name": name }))
            .collect();
        let news = json!({
            "type": "polls",
            "command": "new-poll",
            "pollId": poll.id,
            "senderId": poll.sender,
            "senderName": poll.sender_name,
            "question": poll.question,
            "answers": answers,
        });
        self.list.push(poll);
        self.changed = true;
        Some(news)
    }

    /// Takes a vote. `None` when it is none, `Some(None)` when it changes nothing.
    fn answer(&mut self, request: &Value, id: &str, sender: &Occupant) -> Option<Option<Value>> {
        let chosen_of = |chosen: &[bool]| chosen.iter().filter(|chosen| **chosen).count();
        let others = |poll: &Poll| -> usize {
            let voters = poll.votes.iter();
            let voters = voters.filter(|(voter, _)| poll.id != id || **voter != sender.nick);
            voters.map(|(_, vote)| chosen_of(&vote.chosen)).sum()
        };
        let votes: usize = self.list.iter().map(others).sum();
        let poll = self.list.iter_mut().find(|poll| poll.id == id)?;
        let chosen: Vec<bool> = request["answers"]
            .as_array()?
            .iter()
            .map(Value::as_bool)
            .collect::<Option<_>>()?;
        if chosen.len() != poll.options.len() {
            return None;
        }
        if votes + chosen_of(&chosen) > MOST_VOTES {
            return None;
        }
        self.changed = true;
        match poll.votes.get_mut(&sender.nick) {
            Some(vote) if vote.chosen == chosen => return Some(None),
            Some(vote) => vote.chosen.clone_from(&chosen),
            None if !chosen.contains(&true) => return Some(None),
            None => {
                let vote = Vote {
                    name: name_of(sender),
                    chosen: chosen.clone(),
                };
                poll.votes.insert(sender.nick.clone(), vote);
            }
        }
        Some(Some(json!({
            "type": "polls",
            "command": "answer-poll",
            "pollId": id,
            "senderId": sender.nick,
            "senderName": name_of(sender),
            "answers": chosen,
        })))
    }
}

fn name_of(occupant: &Occupant) -> Option<String> {
    let name = occupant.presence.child_text("nick", ns::NICK)?;
    Some(name.chars().take(MAX_NAME).collect())
}

impl Polls {
    /// A client asks something, or answers.
    pub(super) fn event(
        &mut self,
        core: &mut Core,
        meeting: Meeting<'_>,
        from: SessionId,
        payload: &Element,
    ) -> Option<()> {
        if payload.name() != "json-message" {
            return None;
        }
        let text = payload.text();
        if text.len() > MAX_BYTES {
            return None;
        }
        let request: Value = serde_json::from_str(&text).ok()?;
        let sender = meeting.occupants.by_session(from)?;
        let id = request["pollId"].as_str()?;
        let news = match request["command"].as_str()? {
            "new-poll" => self.create(&request, id, sender)?,
            "answer-poll" => match self.answer(&request, id, sender)? {
                Some(news) => news,
                None => return Some(()),
            },
            _ => return None,
        };
        let message = json_message(&core.hosts.polls, None, &news);
        meeting.push_all(core, &message);
        Some(())
    }

    /// Tells a joiner what was asked, a message a poll: together they could outgrow a stanza.
    pub(super) fn tell(&self, core: &mut Core, session: SessionId) {
        if core.rights(session).service {
            return;
        }
        for poll in &self.list {
            let message = json_message(&core.hosts.polls, None, &poll.history());
            core.send_element(session, message);
        }
    }
}

impl Polls {
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// As the journal keeps them.
    pub(super) fn part(&self) -> Part {
        let vote = |(voter, vote): (&String, &Vote)| {
            let record = VoteRecord {
                name: vote.name.clone(),
                chosen: vote.chosen.clone(),
            };
            (voter.clone(), record)
        };
        let poll = |poll: &Poll| PollRecord {
            id: poll.id.clone(),
            sender: poll.sender.clone(),
            sender_name: poll.sender_name.clone(),
            question: poll.question.clone(),
            options: poll.options.clone(),
            votes: poll.votes.iter().map(vote).collect(),
        };
        Part::Polls(self.list.iter().map(poll).collect())
    }

    pub(super) fn put_back(&mut self, polls: Vec<PollRecord>) {
        let fits = |poll: &PollRecord| poll.options.len() <= MOST_OPTIONS;
        for poll in polls.into_iter().filter(fits).take(MOST) {
            let options = poll.options.len();
            let votes = poll.votes.into_iter();
            let votes = votes.filter(|(_, vote)| vote.chosen.len() == options);
            let vote = |(voter, vote): (String, VoteRecord)| {
                let VoteRecord { name, chosen } = vote;
                (voter, Vote { name, chosen })
            };
            self.list.push(Poll {
                id: poll.id,
                sender: poll.sender,
                sender_name: poll.sender_name,
                question: poll.question,
                options: poll.options,
                votes: votes.map(vote).collect(),
            });
        }
    }
}
