//! `pontoon check`: everything that can be known without starting.

use config::Settings;

use crate::args::SettingArgs;
use crate::failure::Failure;
use crate::{load, parts};

/// Reads settings and files, and says what holds.
pub(crate) fn run(args: &SettingArgs) -> Result<(), Failure> {
    let (layers, strange) = load::layers(args)?;
    let settings = Settings::check(&layers, &load::machine())?;
    files(&settings)?;
    for (key, origin) in layers.written() {
        println!("{key}: from {origin}");
    }
    for name in strange {
        println!(
            "{name}: looks like a setting of the environment but is none; docs/configuration.md lists all"
        );
    }
    println!("The configuration is good.");
    Ok(())
}

/// Reads the files the settings name.
fn files(settings: &Settings) -> Result<(), Failure> {
    if let Some((chain, key)) = &settings.front.certificate {
        let source = front::CertificateSource::Files {
            chain: chain.clone(),
            key: key.clone(),
        };
        front::Certificate::load(&source).map_err(Failure::start)?;
    }
    if let Some(root) = &settings.front.web_root {
        front::check_web_root(root).map_err(Failure::start)?;
    }
    parts::extra_script(settings)?;
    Ok(())
}
