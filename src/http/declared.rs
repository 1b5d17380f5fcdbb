//! The digests that a request's headers declare for its bytes.

use crate::domain::digest::{Md5, Sha1, Sha256, Sha512};
use crate::error::{Error, Result};
use crate::storage::Declared;
use actix_web::http::header::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::str::FromStr;

const X_CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-checksum-sha256");
const X_CHECKSUM_SHA512: HeaderName = HeaderName::from_static("x-checksum-sha512");
const X_CHECKSUM_SHA1: HeaderName = HeaderName::from_static("x-checksum-sha1");
const X_CHECKSUM_MD5: HeaderName = HeaderName::from_static("x-checksum-md5");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Parses every digest that a request declares: `Repr-Digest` and `Content-Digest` (RFC 9530: `sha-256`, `sha-512`;
/// other algorithms are ignored, as the RFC requires), `X-Checksum-*` (Artifactory) and `Content-MD5` (RFC 1864).
///
/// # Errors
/// [`Error::Invalid`] for a digest that cannot be parsed, or two that contradict each other.
pub fn digests(headers: &HeaderMap) -> Result<Declared> {
    let mut declared = Declared {
        sha256: hex::<Sha256>(headers, &X_CHECKSUM_SHA256)?,
        sha512: hex::<Sha512>(headers, &X_CHECKSUM_SHA512)?,
        sha1: hex::<Sha1>(headers, &X_CHECKSUM_SHA1)?,
        md5: hex::<Md5>(headers, &X_CHECKSUM_MD5)?,
    };
    if let Some(value) = text(headers, &CONTENT_MD5)? {
        let bytes = STANDARD.decode(value.trim()).map_err(|_| bad("Content-MD5 is not valid base64"))?;
        agree(&mut declared.md5, Md5::try_from(&bytes[..]).map_err(|_| bad("Content-MD5 does not have 16 bytes"))?)?;
    }
    for name in [&REPR_DIGEST, &CONTENT_DIGEST] {
        for value in headers.get_all(name) {
            let value = value.to_str().map_err(|_| bad("a digest header is not ASCII"))?;
            dictionary(&mut declared, value)?;
        }
    }
    Ok(declared)
}

/// Whether a digest is declared for the message's content as it is sent, which is not the file when it comes in a form.
pub fn speaks_of_content(headers: &HeaderMap) -> bool {
    [&REPR_DIGEST, &CONTENT_DIGEST, &CONTENT_MD5].into_iter().any(|name| headers.contains_key(name))
}

fn bad(problem: &str) -> Error {
    Error::invalid("digest", problem)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    headers.get(name).map(|value| value.to_str().map_err(|_| bad("a digest header is not ASCII"))).transpose()
}

fn hex<T: FromStr>(headers: &HeaderMap, name: &HeaderName) -> Result<Option<T>> {
    let Some(value) = text(headers, name)? else { return Ok(None) };
    let wrong = || bad(&format!("{name} is not a valid hexadecimal digest"));
    value.trim().parse().map(Some).map_err(|_| wrong())
}

fn agree<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<()> {
    match slot {
        Some(other) if *other != value => Err(bad("two declared digests contradict each other")),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

/// Parses a structured-field dictionary of byte sequences (RFC 8941): `sha-256=:base64:, sha-512=:base64:`.
fn dictionary(declared: &mut Declared, value: &str) -> Result<()> {
    for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let (name, value) = member.split_once('=').ok_or_else(|| bad("a digest must look like sha-256=:base64:"))?;
        let value = value.split(';').next().unwrap_or_default().trim();
        if !matches!(name, "sha-256" | "sha-512") {
            continue;
        }
        let inner = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
        let bytes = inner.and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.ok_or_else(|| bad("a digest must look like sha-256=:base64:"))?;
        let wrong = |_| bad("a declared digest has the wrong length");
        if name == "sha-256" {
            agree(&mut declared.sha256, Sha256::try_from(&bytes[..]).map_err(wrong)?)?;
        } else {
            agree(&mut declared.sha512, Sha512::try_from(&bytes[..]).map_err(wrong)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Declared> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        digests(&headers)
    }

    #[test]
    fn every_header_that_declares_a_digest_is_understood() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let sha256: Sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap();
        let digest = read(&[("repr-digest", &format!("unixsum=1, sha-256=:{empty}:;q=1"))]).unwrap();
        assert_eq!(digest.sha256, Some(sha256));
        assert_eq!(read(&[("x-checksum-sha256", &sha256.to_hex())]).unwrap().sha256, Some(sha256));
        assert!(read(&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")]).unwrap().md5.is_some());
        assert_eq!(read(&[]).unwrap(), Declared::default());
    }

    #[test]
    fn malformed_and_contradictory_digest_headers_are_refused() {
        assert!(read(&[("x-checksum-md5", "zz")]).is_err());
        assert!(read(&[("content-digest", "sha-256=abc")]).is_err());
        assert!(read(&[("content-digest", "sha-256=:AAAA:")]).is_err());
        let (a, b) = ("0".repeat(64), "1".repeat(64));
        assert!(read(&[("x-checksum-sha256", &a), ("x-checksum-sha256", &b)]).is_ok(), "the first one counts");
        let zero = STANDARD.encode([0; 32]);
        assert!(read(&[("x-checksum-sha256", &b), ("repr-digest", &format!("sha-256=:{zero}:"))]).is_err());
    }
}
