//! `pontoon check`: everything that can be known without starting.

use config::Settings;

use crate::args::SettingArgs;
use crate::failure::Failure;
use crate::say::say;
use crate::{load, parts};

/// Reads settings and files, and says what holds.
pub(crate) fn run(args: &SettingArgs) -> Result<(), Failure> {
    let (layers, strange) = load::layers(args)?;
    let settings = Settings::check(&layers, &load::machine())?;
    let warnings = files(&settings)?;
    for (key, origin) in layers.written() {
        say(format!("{key}: from {origin}"))?;
    }
    for name in strange {
        say(format!(
            "{name}: looks like a setting of the environment but is none; docs/configuration.md lists all"
        ))?;
    }
    for warning in &warnings {
        say(format!("Warning: {warning}."))?;
    }
    say(if warnings.is_empty() {
        "The configuration is good."
    } else {
        "The configuration can be used, but see the warnings."
    })
}

/// Reads the files the settings name; what can be used but will trouble people is returned.
fn files(settings: &Settings) -> Result<Vec<String>, Failure> {
    let warnings = parts::certificate_warnings(settings)?;
    if let Some(root) = &settings.front.web_root {
        front::check_web_root(root).map_err(Failure::start)?;
    }
    parts::extra_script(settings)?;
    parts::join_tokens(settings)?;
    Ok(warnings)
}
