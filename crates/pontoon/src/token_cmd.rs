//! `pontoon token`: credentials of bridges, on the meet node's machine.

use config::{JoinToken, Settings};
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
    accounts.token()?.ok_or_else(|| {
        Failure::start(format!(
            "there is no join token in {}; start the meet node once with this state directory, or name another with --state-dir",
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
        say(format!("{name:<32} {}  {how}", date(account.made)))?;
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

/// The day, as a calendar writes it (days to civil, proleptic Gregorian).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400;
    // The era begins on the first of March of year 0.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_787_212_800, "2026-08-20"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
