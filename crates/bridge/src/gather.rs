//! One answer of those of several workers.

use std::sync::{Arc, Mutex, PoisonError};

use sfu::control::Answer;
use stanza::colibri2::{ErrorAnswer, Reason};

/// Called in a worker's thread with the answer.
pub(crate) type Reply = Box<dyn FnOnce(Answer) + Send>;

struct Gathered {
    reply: Option<Reply>,
    answers: Vec<Answer>,
    missing: usize,
    /// Endpoints in the order of the request.
    order: Vec<String>,
}

/// Replies for `count` workers; the last one that is called gives the whole answer.
pub(crate) fn replies(reply: Reply, count: usize, order: Vec<String>) -> Vec<Reply> {
    if count < 2 {
        return vec![reply];
    }
    let gathered = Arc::new(Mutex::new(Gathered {
        reply: Some(reply),
        answers: Vec::with_capacity(count),
        missing: count,
        order,
    }));
    let one = |_| -> Reply {
        let gathered = gathered.clone();
        Box::new(move |answer| {
            let mut all = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            let whole = all.take(answer);
            drop(all);
            if let Some((reply, answer)) = whole {
                reply(answer);
            }
        })
    };
    (0..count).map(one).collect()
}

impl Gathered {
    fn take(&mut self, answer: Answer) -> Option<(Reply, Answer)> {
        self.answers.push(answer);
        self.missing -= 1;
        if self.missing > 0 {
            return None;
        }
        let answers = std::mem::take(&mut self.answers);
        Some((self.reply.take()?, whole(answers, &self.order)))
    }
}

/// A part of the conference was lost: the others are what there is of it.
fn is_gone(error: &ErrorAnswer) -> bool {
    error.reason == Some(Reason::ConferenceNotFound)
}

/// The first error, or everything together.
fn whole(answers: Vec<Answer>, order: &[String]) -> Answer {
    let mut answers = answers.into_iter();
    let Some(mut whole) = answers.next() else {
        return Answer {
            result: Ok(Default::default()),
            conference: None,
        };
    };
    for answer in answers {
        whole.conference = whole.conference.or(answer.conference);
        match (&mut whole.result, answer.result) {
            (Ok(all), Ok(more)) => {
                all.endpoints.extend(more.endpoints);
                all.relays.extend(more.relays);
                all.sources = all.sources.take().or(more.sources);
            }
            (Ok(_), Err(error)) if is_gone(&error) => {}
            (result @ Ok(_), Err(error)) => *result = Err(error),
            (result @ Err(_), more) if result.as_ref().is_err_and(is_gone) => *result = more,
            (Err(_), _) => {}
        }
    }
    if let Ok(all) = &mut whole.result {
        let place = |id: &String| order.iter().position(|o| o == id);
        all.endpoints.sort_by_key(|e| place(&e.id));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu::ConferenceId;
    use stanza::colibri2::{ConferenceModified, Endpoint};
    use std::sync::mpsc::channel;

    fn about(ids: &[&str]) -> Answer {
        let endpoints = ids.iter().map(|id| Endpoint::bare((*id).to_owned()));
        Answer {
            result: Ok(ConferenceModified {
                endpoints: endpoints.collect(),
                ..ConferenceModified::default()
            }),
            conference: Some(ConferenceId(1)),
        }
    }

    #[test]
    fn the_last_answer_makes_the_whole() {
        let (sender, receiver) = channel();
        let order = ["a", "b", "c"].map(str::to_owned).to_vec();
        let reply = Box::new(move |answer| sender.send(answer).unwrap());
        let mut replies = replies(reply, 2, order);
        replies.pop().unwrap()(about(&["b"]));
        assert!(receiver.try_recv().is_err());
        replies.pop().unwrap()(about(&["a", "c"]));
        let endpoints = receiver.recv().unwrap().result.unwrap().endpoints;
        let ids: Vec<_> = endpoints.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
    }

    #[test]
    fn a_part_that_is_gone_is_no_error_unless_all_are() {
        let gone = || Answer {
            result: Err(ErrorAnswer::marked(
                "item-not-found",
                Reason::ConferenceNotFound,
                "",
            )),
            conference: None,
        };
        for answers in [[about(&["a"]), gone()], [gone(), about(&["a"])]] {
            let whole = whole(answers.to_vec(), &[]);
            assert_eq!(whole.result.unwrap().endpoints.len(), 1);
        }
        assert!(whole(vec![gone(), gone()], &[]).result.is_err());
    }

    #[test]
    fn one_error_is_the_answer() {
        let error = Answer {
            result: Err(ErrorAnswer::plain("bad-request", "no")),
            conference: None,
        };
        for answers in [[about(&["a"]), error.clone()], [error, about(&["a"])]] {
            let whole = whole(answers.to_vec(), &[]);
            assert_eq!(whole.result.unwrap_err().condition, "bad-request");
            assert_eq!(whole.conference, Some(ConferenceId(1)));
        }
    }
}
