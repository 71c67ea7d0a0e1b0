//! From file, environment and command line to settings, with logging set up.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use config::{ConfigError, Layers, Machine, Origin, Settings};

use crate::args::SettingArgs;
use crate::failure::Failure;

/// Reads all settings and starts logging.
pub(crate) fn settings(args: &SettingArgs) -> Result<Settings, Failure> {
    let (layers, strange) = layers(args)?;
    let settings = Settings::check(&layers, &machine())?;
    telemetry::init(&settings.log).map_err(Failure::start)?;
    for name in strange {
        tracing::warn!(
            name,
            "this environment variable looks like a setting but is none"
        );
    }
    let secret = |key: &str| config::find(key).is_some_and(|option| option.secret);
    let from_file = layers.written().find_map(|(key, origin)| match origin {
        Origin::File { path, .. } if secret(key) => Some(path),
        _ => None,
    });
    if let Some(path) = from_file {
        front::warn_if_open(path);
    }
    Ok(settings)
}

/// What was written, and names of the environment that look like ours and are not.
pub(crate) fn layers(args: &SettingArgs) -> Result<(Layers, Vec<String>), Failure> {
    let mut layers = Layers::new();
    let mut errors = Vec::new();
    for path in &args.config {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::start(format!(
                "the configuration file {} cannot be read: {error}",
                path.display()
            ))
        })?;
        errors.extend(layers.add_file(path, &text).err().into_iter().flatten());
    }
    let strange = layers
        .add_environment(environment())
        .unwrap_or_else(|more| {
            errors.extend(more);
            Vec::new()
        });
    for (flag, key, value) in args.short() {
        errors.extend(layers.add_flag(flag, key, value).err());
    }
    for pair in &args.set {
        match pair.split_once('=') {
            Some((key, value)) => {
                errors.extend(
                    layers
                        .add_flag(&format!("--set {key}"), key.trim(), value.trim())
                        .err(),
                );
            }
            None => errors.push(ConfigError {
                origin: Origin::Flag(format!("--set {pair}")),
                key: None,
                problem: "has no value".to_owned(),
                fix: "write --set KEY=VALUE".to_owned(),
            }),
        }
    }
    if errors.is_empty() {
        Ok((layers, strange))
    } else {
        Err(errors.into())
    }
}

/// Variables whose name or value is no text cannot be settings.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What defaults depend on.
pub(crate) fn machine() -> Machine {
    let path = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    Machine {
        // The owner of a process's entry is its effective user.
        privileged: std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0),
        xdg_state_home: path("XDG_STATE_HOME"),
        home: path("HOME"),
    }
}
