//! `pontoon token`: credentials of bridges, on the meet node's machine.

use config::{JoinToken, Listen, Settings};
use telemetry::Redacted;

use crate::accounts::Accounts;
use crate::args::TokenAction;
use crate::failure::Failure;
use crate::say::say;
use crate::state::random_hex;

/// Does it; a running node takes it up within a second.
pub(crate) fn run(settings: &Settings, action: TokenAction) -> Result<(), Failure> {
    let accounts = Accounts::new(&settings.state_dir);
    match action {
        TokenAction::Bridge { name } => bridge(settings, &accounts, name),
        TokenAction::Join { new: false } => say(command(&last_token(settings, &accounts)?)),
        TokenAction::Join { new: true } => {
            let token = last_token(settings, &accounts)?;
            say(command(&accounts.renew_token(token)?))
        }
        TokenAction::List => list(&accounts),
        TokenAction::Revoke { name } => revoke(settings, &accounts, &name),
    }
}

/// What to run on the bridge's machine.
pub(crate) fn command(token: &JoinToken) -> String {
    format!("pontoon bridge --join {}", token.reveal())
}

/// The token of the node, which says where the node is.
fn last_token(settings: &Settings, accounts: &Accounts) -> Result<JoinToken, Failure> {
    if settings.meet.listen == Some(Listen::Off) {
        return Err(Failure::start(
            "the port for bridges is off (signalling.listen), so that none on another machine can join; a server that shall take bridges is started with --xmpp 5222",
        ));
    }
    accounts.token()?.ok_or_else(|| {
        Failure::start(format!(
            "there is no join token in {}; a server makes it when it starts with this state directory and with a port for bridges (not --xmpp off); --state-dir names another directory",
            settings.state_dir.display()
        ))
    })
}

fn bridge(settings: &Settings, accounts: &Accounts, name: Option<String>) -> Result<(), Failure> {
    let name = name.unwrap_or_else(|| format!("bridge-{}", random_hex(4)));
    if !xmpp::is_bridge_name(&name) {
        return Err(Failure::start(format!(
            "{name:?} cannot be the name of a bridge; use up to 64 lower-case letters, digits, \"-\", \"_\" and \".\", and not \"jvb\", \"focus\" or \"join\""
        )));
    }
    let mut token = last_token(settings, accounts)?;
    token.password = Redacted::new(accounts.make(&name)?);
    token.user = name;
    say(command(&token))
}

fn list(accounts: &Accounts) -> Result<(), Failure> {
    let all = accounts.list()?;
    if all.is_empty() {
        return say("No bridge has an account yet.");
    }
    for (name, account) in all {
        let how = if account.asked {
            "asked for by the bridge"
        } else {
            "made by hand"
        };
        say(format!("{name:<32} {}  {how}", day(account.made)))?;
    }
    Ok(())
}

fn revoke(settings: &Settings, accounts: &Accounts, name: &str) -> Result<(), Failure> {
    if name == JoinToken::NEWCOMER {
        accounts.renew_token(last_token(settings, accounts)?)?;
        return say(
            "The token for new bridges is made anew; bridges that have an account keep it. \"pontoon token join\" prints the new one.",
        );
    }
    let Some(account) = accounts.revoke(name)? else {
        return Err(Failure::start(format!(
            "no bridge has an account {name:?}; \"pontoon token list\" names them all"
        )));
    };
    say(format!(
        "{name} is revoked; a running node ends its stream within a second."
    ))?;
    if account.asked
        && let Some(token) = accounts.token()?
    {
        // It knew the token, and could ask for another account.
        accounts.renew_token(token)?;
        say(
            "The token for new bridges was known to it and is made anew: \"pontoon token join\" prints it. Other bridges keep their accounts.",
        )?;
    }
    Ok(())
}

/// The day of a moment, in seconds since 1970.
fn day(unix: u64) -> String {
    let stamp = xmpp::stamp(unix);
    stamp.split('T').next().unwrap_or_default().to_owned()
}
