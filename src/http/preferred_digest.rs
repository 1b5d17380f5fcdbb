//! The digest of a file that a client asks for: `Want-Repr-Digest` (RFC 9530 §4) and `Want-Digest` (RFC 3230 §4.3.1).

use super::accept::weighted;
use actix_web::http::header::{HeaderMap, HeaderName};

const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");
const WANT_DIGEST: HeaderName = HeaderName::from_static("want-digest");

/// Whether `Want-Repr-Digest` prefers SHA-512 to SHA-256, which costs nothing and is sent otherwise.
pub fn prefers_sha512(headers: &HeaderMap) -> bool {
    // RFC 9651 §3.2: of several members with one name the last counts.
    let (mut sha256, mut sha512) = (0, 0);
    for member in items(headers, WANT_REPR_DIGEST) {
        let (name, value) = member.split_once('=').unwrap_or((member, "1"));
        let weight = value.split(';').next().and_then(|value| value.trim().parse::<u8>().ok());
        // A value that is not a weight makes the whole field invalid, and an invalid field is ignored.
        let Some(weight) = weight.filter(|weight| *weight <= 10) else { return false };
        match name.trim() {
            "sha-256" => sha256 = weight,
            "sha-512" => sha512 = weight,
            _ => {}
        }
    }
    sha512 > sha256
}

/// Whether the request has `Want-Digest` and does not exclude SHA-256.
pub fn wants_digest(headers: &HeaderMap) -> bool {
    let excludes = |(name, weight): (&str, u16)| name.eq_ignore_ascii_case("sha-256") && weight == 0;
    headers.contains_key(&WANT_DIGEST) && !weighted(headers, WANT_DIGEST).into_iter().any(excludes)
}

/// The items of a list in a header, which may occur more than once.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn sha_512_is_preferred_by_a_greater_weight_alone() {
        for (values, preferred) in [
            (&["sha-512=10"][..], true),
            (&["sha-512"], true),
            (&["sha-256=1, sha-512=2"], true),
            (&["sha-256=1", "sha-512=2"], true),
            (&["sha-512=10;x=1, sha=9"], true),
            (&["sha-512=0"], false),
            (&["sha-256=5, sha-512=5"], false),
            (&["sha-256=10, sha-512=3"], false),
            (&["sha-512=3, sha-512=0"], false),
            (&["sha-512=11"], false),
            (&["sha-512=0.5"], false),
            (&["sha-512=9, md5=x"], false),
            (&["unixsum=3"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(WANT_REPR_DIGEST, HeaderValue::from_static(value));
            }
            assert_eq!(prefers_sha512(&fields), preferred, "{values:?}");
        }
    }

    #[test]
    fn a_client_that_wants_a_digest_gets_one_unless_it_excludes_sha_256() {
        for (value, wanted) in [
            ("SHA-256", true),
            ("SHA-512;q=1, SHA-256;q=1, SHA;q=0.1", true),
            ("md5", true),
            ("", true),
            ("sha-256;q=0", false),
            ("SHA-256; q=0.0, SHA-512", false),
        ] {
            assert_eq!(wants_digest(&headers(WANT_DIGEST, &[value])), wanted, "{value}");
        }
        assert!(!wants_digest(&HeaderMap::new()));
    }
}
