//! Asks a signalling node for an account of the bridge's own (XEP-0077), with the one that all newcomers share.
//!
//! The password is the bridge's own choice; nobody else ever had it. The node says which name it got.
#![allow(clippy::disallowed_methods, reason = "timers are tokio's")]

use std::time::Duration;

use link::{LinkEvent, LinkSender};
use stanza::{Element, ElementExt as _, element, iq, ns};
use telemetry::Redacted;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::config::NodeConfig;
use crate::standing::{Keeping, Kind};

/// Id of the request.
const ID: &str = "join";
/// Wait before a node that gave no account is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Asks until there is an account; nothing when `stop` becomes true first.
pub(crate) async fn account(
    node: &NodeConfig,
    name: &str,
    standing: &mut Keeping,
    stop: &mut watch::Receiver<bool>,
) -> Option<(String, Redacted<String>)> {
    tokio::select! {
        account = ask_on(node, name, standing) => Some(account),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

async fn ask_on(
    node: &NodeConfig,
    name: &str,
    standing: &mut Keeping,
) -> (String, Redacted<String>) {
    loop {
        let mut config = node.link(node.user.clone(), &node.password);
        config.resume = false;
        let (sender, mut events) = link::spawn(config);
        let password = Redacted::new(new_password());
        let got = ask(&sender, &mut events, node, name, &password, standing).await;
        sender.close().await;
        match got {
            Ok(user) => {
                tracing::info!(user, "the signalling node gave this bridge an account");
                if let Some(keeper) = &node.keeper
                    && let Err(error) = keeper.keep(&user, password.expose())
                {
                    tracing::error!(error, "the account is lost when this process ends");
                }
                return (user, password);
            }
            Err(reason) => {
                let sentence = format!(
                    "{} gave this bridge no account: {reason}; asking again now and then",
                    node.target
                );
                standing.troubled(Kind::NoAccount, sentence);
                tokio::select! {
                    () = sleep(ASK_AGAIN) => {}
                    () = standing.remind() => {}
                }
            }
        }
    }
}

/// 256 random bits.
fn new_password() -> String {
    format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}

async fn ask(
    sender: &LinkSender,
    events: &mut mpsc::Receiver<LinkEvent>,
    node: &NodeConfig,
    name: &str,
    password: &Redacted<String>,
    standing: &mut Keeping,
) -> Result<String, String> {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = standing.remind() => continue,
        };
        match event {
            Some(LinkEvent::Online { .. }) => {
                let text = |name: &str, text: &str| element(name, ns::REGISTER).text(text);
                let query = element("query", ns::REGISTER)
                    .child(text("username", &name.to_ascii_lowercase()))
                    .child(text("password", password.expose()));
                let request = iq::set(&node.service_domain(), ID, query.done());
                sender.send(request).map_err(|error| error.to_string())?;
            }
            Some(LinkEvent::Stanza(stanza)) if is_answer(&stanza) => return read(&stanza),
            // Neither the account of before nor the token: somebody took them away.
            Some(LinkEvent::Refused { .. }) => standing.troubled(
                Kind::Refused,
                format!(
                    "{} knows neither an account of this bridge nor its token; \
                     give it a line that \"pontoon token bridge\" or \"pontoon token join\" prints there",
                    node.target
                ),
            ),
            Some(LinkEvent::Unreachable { reason }) => standing.troubled(
                Kind::Unreachable,
                format!("{} cannot be reached: {reason}; trying on", node.target),
            ),
            // The link tries on.
            Some(_) => {}
            None => return Err("the link ended".to_owned()),
        }
    }
}

fn is_answer(stanza: &Element) -> bool {
    iq::is_response(stanza) && stanza.attr("id") == Some(ID)
}

fn read(answer: &Element) -> Result<String, String> {
    if let Some(error) = stanza::error::StanzaError::from_stanza(answer) {
        return Err(error.to_string());
    }
    answer
        .get_child("query", ns::REGISTER)
        .and_then(|query| query.child_text("username", ns::REGISTER))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| "the answer names no account".to_owned())
}
