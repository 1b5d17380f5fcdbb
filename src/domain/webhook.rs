//! The parts of a webhook: its address, its format, and the states of its deliveries.

use super::names::{InvalidName, name, text_schema};
use super::role::word;

/// The most bytes in a webhook's address.
const MAX_URL_BYTES: usize = 2048;
/// The most bytes in an `Authorization` value.
const MAX_AUTHORIZATION_BYTES: usize = 1024;
/// The most bytes in a secret.
const MAX_SECRET_BYTES: usize = 255;

name!(
    /// A webhook's address: `http://` or `https://`, at most 2,048 bytes of ASCII without white space, without a user
    /// name and password in it. The sender checks whether the address may be called.
    HookUrl,
    check_url,
    text_schema(
        "An http or https URL without user information. The host can be an IP address.",
        r#"^https?://([A-Za-z0-9]+(-[A-Za-z0-9]+)*\.)+[A-Za-z][A-Za-z0-9]*(:[1-9][0-9]{0,3})?(/[!"$-\[\]-~]*)?$"#
    ).max_length(Some(MAX_URL_BYTES))
);
name!(
    /// The value of the `Authorization` header that a webhook sends: at most 1,024 visible ASCII characters and spaces.
    HookAuthorization,
    check_authorization,
    text_schema("The value of the Authorization header.", r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")
        .max_length(Some(MAX_AUTHORIZATION_BYTES))
);
name!(
    /// The secret that a webhook signs with: 1 to 255 bytes without control characters.
    HookSecret,
    check_secret,
    text_schema("A secret.", r"^[^\x00-\x1f\x7f-\x9f]+$").max_length(Some(MAX_SECRET_BYTES))
);

word!(
    /// The flavor of a webhook's messages.
    HookKind, "gitea, gogs" { Gitea = 0 "gitea", Gogs = 1 "gogs" }
);
word!(
    /// The format of a request's body.
    HookContent, "json, form" {
        /// The payload itself.
        Json = 0 "json",
        /// `payload=` and the payload, as browsers send forms.
        Form = 1 "form",
    }
);
word!(
    /// The change to a package that a webhook announces.
    HookAction, "created, deleted, damaged, updated" {
        Created = 0 "created",
        Deleted = 1 "deleted",
        /// Stored files of the package were found damaged. Gitea has no such event.
        Damaged = 2 "damaged",
        /// The version was sealed, yanked, deprecated or put on hold, or the opposite. Gitea has no such event.
        Updated = 3 "updated",
    }
);
word!(
    /// The state of a delivery.
    DeliveryState, "pending, delivered, failed" {
        /// The delivery is tried, now or later.
        Pending = 0 "pending",
        /// The receiver answered with a status of 200 to 299.
        Delivered = 1 "delivered",
        /// The delivery was given up.
        Failed = 2 "failed",
    }
);

fn check_url(text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > MAX_URL_BYTES {
        return Err(InvalidName::TooLong(MAX_URL_BYTES));
    }
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    let place = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'));
    if place.is_empty() || place.contains('@') || !clean {
        return Err(InvalidName::Characters(
            "a URL that begins with http:// or https://, has only ASCII characters, and has no username, password, \
             or #",
        ));
    }
    Ok(())
}

fn check_authorization(text: &str) -> Result<(), InvalidName> {
    match text.len() {
        0 => Err(InvalidName::Empty),
        length if length > MAX_AUTHORIZATION_BYTES => Err(InvalidName::TooLong(MAX_AUTHORIZATION_BYTES)),
        _ if text.trim() != text => Err(InvalidName::OuterSpace),
        _ if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(()),
        _ => Err(InvalidName::Characters("visible ASCII characters, with spaces only between them")),
    }
}

fn check_secret(text: &str) -> Result<(), InvalidName> {
    match text.len() {
        0 => Err(InvalidName::Empty),
        length if length > MAX_SECRET_BYTES => Err(InvalidName::TooLong(MAX_SECRET_BYTES)),
        _ if text.chars().any(char::is_control) => Err(InvalidName::Characters("text without control characters")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_url_is_http_or_https_without_a_user() {
        for good in ["https://ci.example.org/hook?x=%20", "HTTP://[2001:db8::1]:8080", "http://x/@y", "http://x?a@b"] {
            assert!(good.parse::<HookUrl>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "example.org",
            "ftp://example.org/",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://a b/",
            "http://ada:pw@example.org/",
            "http://ada@example.org/",
            "http://example.org\\@evil/",
            "http://é.example/",
            "http://example.org/#x",
            "http://example.org/\n",
            "javascript:alert(1)",
            "gopher://x/",
            "//example.org/",
        ] {
            assert!(wrong.parse::<HookUrl>().is_err(), "{wrong:?}");
        }
        assert!(format!("http://x/{}", "y".repeat(2040)).parse::<HookUrl>().is_err());
    }

    #[test]
    fn webhook_secret_and_authorization_cannot_contain_line_breaks() {
        assert!("Bearer abc".parse::<HookAuthorization>().is_ok());
        for wrong in ["", " Bearer", "Bearer a\r\nX: y", "Bearer é", "a\0"] {
            assert!(wrong.parse::<HookAuthorization>().is_err(), "{wrong:?}");
        }
        assert!("sécret".parse::<HookSecret>().is_ok() && "\n".parse::<HookSecret>().is_err());
    }
}
