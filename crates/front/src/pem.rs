//! Reading certificates and keys from the files operators have, with a sentence for whatever is wrong with them.

use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Mark that some editors put before UTF-8 text; it hides the line after it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The certificates of a PEM file in their order, at least one.
///
/// # Errors
/// What is wrong, in words that follow the file's name.
pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path, "x509")?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| broken(&error))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(if has(&text, b"PRIVATE KEY-----") {
        "there is no certificate in it, but a private key; are front.certificate and front.key exchanged?"
    } else {
        "there is no certificate in it: no line \"-----BEGIN CERTIFICATE-----\""
    }
    .to_owned())
}

/// The private key of a PEM file.
///
/// # Errors
/// What is wrong, in words that follow the file's name.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path, "pkey")?;
    if has(&text, b"BEGIN ENCRYPTED PRIVATE KEY") || has(&text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "it is encrypted, and nobody is there to type the passphrase at start; write it without one: openssl pkey -in {} -out NEW.key",
            path.display()
        ));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) if has(&text, b"BEGIN CERTIFICATE") => Err(
            "there is no private key in it, but a certificate; are front.certificate and front.key exchanged?"
                .to_owned(),
        ),
        Err(Error::NoItemsFound) => {
            Err("there is no private key in it: no line \"-----BEGIN PRIVATE KEY-----\"".to_owned())
        }
        Err(error) => Err(broken(&error)),
    }
}

/// The text of a file without byte order marks; `command` of openssl converts other forms.
fn read(path: &Path, command: &str) -> Result<Vec<u8>, String> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
        _ => error.to_string(),
    })?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is text in UTF-16; save it as UTF-8".to_owned());
    }
    // A sequence in DER, whose length takes more than one byte.
    if matches!(bytes.get(..2), Some([0x30, length]) if *length >= 0x80) {
        return Err(format!(
            "it is in DER format, PEM is needed: openssl {command} -inform der -in {} -out NEW.pem",
            path.display()
        ));
    }
    Ok(without_marks(&bytes))
}

/// Files put together by hand have the mark in their middle too.
fn without_marks(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if let Some(after) = rest.strip_prefix(BYTE_ORDER_MARK) {
            rest = after;
        } else {
            text.push(first);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    text
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

fn broken(error: &Error) -> String {
    let what = match error {
        Error::MissingSectionEnd { .. } => "a part of it has no \"-----END\" line",
        Error::Base64Decode(_) => "a part of it has characters that are not base64",
        _ => "a \"-----BEGIN\" line in it is not whole",
    };
    format!("it is not in PEM format: {what}; copy the file anew")
}
