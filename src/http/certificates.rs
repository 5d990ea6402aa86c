//! The file of certificate authorities that the environment names. Where its variable is followed, the
//! TLS library passes by a file that it cannot read, and every certificate is one of an unknown
//! authority then.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Result};

const VARIABLE: &str = "SSL_CERT_FILE";

/// Refuses an `SSL_CERT_FILE` that holds no certificate.
///
/// # Errors
/// [`Error::Config`] with the file and what is wrong with it.
pub(super) fn check_certificate_file() -> Result<()> {
    // These systems have stores of their own, and the variable is not followed there.
    if cfg!(any(windows, target_vendor = "apple")) {
        return Ok(());
    }
    match std::env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => check(Path::new(&path)),
        _ => Ok(()),
    }
}

fn check(path: &Path) -> Result<()> {
    let refuse = |reason: String| {
        Err(Error::config(
            VARIABLE,
            format!("'{}' {reason}", path.display()),
        ))
    };
    if path.is_dir() {
        return refuse("is a directory; name a PEM file of certificate authorities".to_owned());
    }
    if let Err(error) = std::fs::File::open(path) {
        return refuse(format!("cannot be read: {error}"));
    }
    let holds_one = CertificateDer::pem_file_iter(path)
        .is_ok_and(|mut certificates| certificates.any(|found| found.is_ok()));
    match holds_one {
        true => Ok(()),
        false => refuse(
            "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----); a certificate in DER form is converted by \
             openssl x509 -inform der"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named_with_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let said = |path: &Path| check(path).err().map(|error| error.to_string());
        let missing = said(&file).unwrap();
        assert!(missing.starts_with("SSL_CERT_FILE: '"), "{missing}");
        assert!(
            missing.contains("cannot be read: No such file"),
            "{missing}"
        );
        assert!(said(directory.path()).unwrap().contains("is a directory"));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for text in [
            "",
            "root:x:0:0\n",
            key,
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(
                said(&file).unwrap().contains("holds no certificate"),
                "{text}"
            );
        }
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, format!("# our authority\n{key}{certificate}")).unwrap();
        assert_eq!(said(&file), None);
    }
}
