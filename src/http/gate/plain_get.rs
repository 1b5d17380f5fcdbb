//! Requests that a [`Shortcut`](super::Shortcut) may answer.

/// The most bytes of the header section: far below the limits for clients.
const MOST_BYTES: usize = 4 << 10;
/// The most headers.
const MOST_HEADERS: usize = 32;

/// Whether a header section of this many bytes and headers is small enough.
pub(super) fn is_small(bytes: usize, headers: usize) -> bool {
    bytes <= MOST_BYTES && headers <= MOST_HEADERS
}

/// A GET that asks for nothing beyond the resource itself: without a query, without a body, and only with headers that
/// don't change the answer or that are named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainGet<'a> {
    pub path: &'a str,
    pub authorization: Option<&'a [u8]>,
    pub if_none_match: Option<&'a [u8]>,
}

impl<'a> PlainGet<'a> {
    pub(super) fn new(target: &'a str) -> Option<Self> {
        let is_path = target.starts_with('/') && !target.contains(['?', '#']);
        is_path.then_some(Self { path: target, authorization: None, if_none_match: None })
    }

    /// The request with one more header; `None` if it is then no longer plain.
    pub(super) fn with(mut self, header: &httparse::Header<'a>) -> Option<Self> {
        const IGNORED: [&str; 6] = ["host", "user-agent", "accept", "accept-encoding", "accept-language", "pragma"];
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let once = |place: &mut Option<&'a [u8]>| place.replace(header.value).is_none();
        let is_plain = if is("authorization") {
            once(&mut self.authorization)
        } else if is("if-none-match") {
            once(&mut self.if_none_match)
        } else if is("connection") {
            header.value.trim_ascii().eq_ignore_ascii_case(b"keep-alive")
        } else {
            IGNORED.into_iter().any(is)
        };
        is_plain.then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::framing::head;

    fn is_plain(request: &str) -> bool {
        head(request.as_bytes()).expect("a valid head").expect("a complete head").1.is_some()
    }

    #[test]
    fn only_a_get_whose_headers_do_not_change_the_answer_is_plain() {
        let get = |rest: &str| format!("GET /a HTTP/1.1\r\nHost: x\r\n{rest}\r\n");
        for rest in ["", "Accept: */*\r\nUser-Agent: curl\r\n", "Authorization: Bearer x\r\nIf-None-Match: \"y\"\r\n"] {
            assert!(is_plain(&get(rest)), "{rest:?}");
        }
        for rest in [
            "Range: bytes=0-1\r\n",
            "If-Match: \"y\"\r\n",
            "If-None-Match: \"y\"\r\nIf-None-Match: \"z\"\r\n",
            "Connection: close\r\n",
            "Cookie: a=b\r\n",
            "Sudo: ada\r\n",
            "Want-Repr-Digest: sha-512=1\r\n",
        ] {
            assert!(!is_plain(&get(rest)), "{rest:?}");
        }
        for request in [
            "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
        ] {
            assert!(!is_plain(request), "{request:?}");
        }
        assert!(!is_plain(&get(&"Accept: a\r\n".repeat(40))));
    }
}
