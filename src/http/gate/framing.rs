//! Where a request ends in a stream of bytes: its header section, and a body of a declared length or in chunks
//! (RFC 9112 §6 and §7.1).
//!
//! The rules are as strict as in actix-http, or stricter, so a request never ends later for actix than it does here.

use super::plain_get::{self, PlainGet};
use actix_web::http::{StatusCode, Uri};
use std::ops::Range;

/// The most bytes of a request's target that actix can parse. The limit for clients is lower, and has an answer of its
/// own.
const MAX_TARGET: usize = 65_534;
/// The most headers that are parsed. The limit for clients is lower, and has an answer of its own.
const MAX_HEADERS: usize = 96;
/// The most bytes of a header section that are kept.
pub const MAX_HEAD: usize = 128 << 10;
/// The most bytes in the size line of a chunk, and in all trailers.
const MAX_CHUNK_FRAMING: usize = 16 << 10;

/// Why the bytes are not a request that this server can answer: the status and the message of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: &'static str,
}

impl Refusal {
    const fn bad(message: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message }
    }
}

/// What the header section of a request says about its end.
#[derive(Debug)]
pub struct Head {
    /// Its bytes, with the empty line after it.
    pub length: usize,
    pub body: Body,
    /// No request may follow on this connection (RFC 9112 §9.6).
    pub closes: bool,
    /// The client waits for `100 Continue`.
    pub expects: bool,
    /// Bytes to overwrite with spaces: the parts that ask for another protocol. RFC 9110 §7.8 lets a server ignore
    /// `Upgrade`, but actix-http closes the connection after the option `upgrade`, and reads a body differently after
    /// the value `websocket`.
    pub upgrade: Vec<Range<usize>>,
}

/// Reads a header section; `None` if it isn't complete yet. Also returns what a [`PlainGet`] asks for, if the request is
/// one.
///
/// # Errors
/// A [`Refusal`] if it can't become a valid request, whatever follows.
pub fn head(bytes: &[u8]) -> Result<Option<(Head, Option<PlainGet<'_>>)>, Refusal> {
    if bytes.first() == Some(&0x16) {
        return Err(Refusal::bad("this port speaks http, not https"));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::Version) if is_other_version(bytes) => {
            let message = "this server speaks HTTP/1.1 and HTTP/1.0 only";
            return Err(Refusal { status: StatusCode::HTTP_VERSION_NOT_SUPPORTED, message });
        }
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(Refusal::bad("the request line or a header cannot be read")),
    };
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        let message = "the URL is longer than 8192 bytes";
        return Err(Refusal { status: StatusCode::URI_TOO_LONG, message });
    }
    if Uri::try_from(target).is_err() {
        return Err(Refusal::bad("the URL in the request line is not valid"));
    }
    let is_1_1 = request.version == Some(1);
    let mut connection = Connection::default();
    let mut fields = Fields::default();
    let mut plain = (is_1_1 && request.method == Some("GET")).then(|| PlainGet::new(target)).flatten();
    for header in request.headers.iter() {
        plain = plain.and_then(|plain| plain.with(header));
        let start = header.value.as_ptr() as usize - bytes.as_ptr() as usize;
        fields.read(header, is_1_1)?;
        if header.name.eq_ignore_ascii_case("connection") {
            connection.read(header.value, start);
        } else if header.name.eq_ignore_ascii_case("upgrade") && is_word(header.value, b"websocket") {
            connection.upgrade.push(start..start + header.value.len());
        }
    }
    if is_1_1 && !fields.host {
        return Err(Refusal::bad("the Host header is missing"));
    }
    let head = Head {
        length,
        closes: connection.close || !(is_1_1 || connection.keep_alive),
        expects: is_1_1 && fields.expects,
        body: fields.body()?,
        upgrade: connection.upgrade,
    };
    Ok(Some((head, plain.filter(|_| plain_get::is_small(length, request.headers.len())))))
}

/// The refusal of a header section that is too large.
pub const TOO_LARGE: Refusal = Refusal {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    message: "there are more than 64 header fields, or they are longer than 16384 bytes",
};

/// Whether the request line ends with another version of HTTP, rather than with something else.
fn is_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.rsplit(|byte| *byte == b' ')
        .next()
        .is_some_and(|version| version.starts_with(b"HTTP/") && !version.starts_with(b"HTTP/1."))
}

fn is_word(value: &[u8], word: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(word)
}

/// The options of all `Connection` headers.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: Vec<Range<usize>>,
}

impl Connection {
    fn read(&mut self, value: &[u8], mut start: usize) {
        for option in value.split(|byte| *byte == b',') {
            self.close |= is_word(option, b"close");
            self.keep_alive |= is_word(option, b"keep-alive");
            if is_word(option, b"upgrade") {
                self.upgrade.push(start..start + option.len());
            }
            start += option.len() + 1;
        }
    }
}

/// The headers that decide where the body ends.
#[derive(Default)]
struct Fields {
    host: bool,
    expects: bool,
    chunked: bool,
    length: Option<u64>,
}

impl Fields {
    fn read(&mut self, header: &httparse::Header<'_>, is_1_1: bool) -> Result<(), Refusal> {
        let (name, value) = (header.name, header.value);
        if name.eq_ignore_ascii_case("host") {
            if std::mem::replace(&mut self.host, true) {
                return Err(Refusal::bad("there is more than one Host header"));
            }
        } else if name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let length = value.parse().ok().filter(|_| digits);
            let Some(length) = length else { return Err(Refusal::bad("Content-Length is not a number of bytes")) };
            if self.length.replace(length).is_some() {
                return Err(Refusal::bad("there is more than one Content-Length header"));
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !is_1_1 {
                return Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding"));
            }
            if std::mem::replace(&mut self.chunked, true) || !is_word(value, b"chunked") {
                return Err(Refusal::bad("only the Transfer-Encoding chunked is supported"));
            }
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects |= value.split(|byte| *byte == b',').any(|item| is_word(item, b"100-continue"));
        }
        Ok(())
    }

    fn body(self) -> Result<Body, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::bad("there are both Content-Length and Transfer-Encoding")),
            (true, None) => Ok(Body::Chunked(Chunks::Size { size: None, line: 0 })),
            (false, length) => Ok(Body::Sized(length.unwrap_or(0))),
        }
    }
}

/// The rest of a body that is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// This many bytes.
    Sized(u64),
    Chunked(Chunks),
}

/// What comes next in a body of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// The digits of a size, `None` before the first one; `line` counts the bytes of the line.
    Size {
        size: Option<u64>,
        line: usize,
    },
    /// White space or an extension after the size, until the end of the line.
    Extension {
        size: u64,
        space: bool,
        line: usize,
    },
    /// The line feed of a size line.
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// The beginning of a line after the last chunk; `bytes` counts all trailers.
    Line {
        bytes: usize,
    },
    Trailer {
        bytes: usize,
    },
    TrailerLf {
        bytes: usize,
    },
    EndLf,
    End,
}

/// The chunked coding of a body is malformed from this byte on.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The number of bytes before it.
    pub at: usize,
}

impl Body {
    /// Whether all of it has come.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Sized(0) | Self::Chunked(Chunks::End))
    }

    /// Takes the next bytes and returns how many of them belong to the body: all of them, or fewer at its end.
    ///
    /// # Errors
    /// [`Malformed`] if a chunk is not coded properly.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match self {
            Self::Sized(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.take(bytes),
        }
    }
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self {
                Self::End => break,
                Self::Data { left } => {
                    let rest = bytes.len() - at;
                    let taken = usize::try_from(*left).map_or(rest, |left| left.min(rest));
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        *self = Self::DataCr;
                    }
                }
                _ => {
                    *self = self.after(*byte).ok_or(Malformed { at })?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// The state after one byte of framing; `None` if the byte is not allowed here.
    fn after(self, byte: u8) -> Option<Self> {
        let next = match (self, byte) {
            (Self::Size { size, line }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                let size = size.unwrap_or(0).checked_mul(16)?.checked_add(u64::from(digit))?;
                Self::Size { size: Some(size), line: line + 1 }
            }
            (Self::Size { size: Some(size), .. } | Self::Extension { size, .. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size: Some(size), line }, b'\t' | b' ') => {
                Self::Extension { size, space: true, line: line + 1 }
            }
            (Self::Extension { size, space: true, line }, b'\t' | b' ') => {
                Self::Extension { size, space: true, line: line + 1 }
            }
            (Self::Size { size: Some(size), line } | Self::Extension { size, line, .. }, b';') => {
                Self::Extension { size, space: false, line: line + 1 }
            }
            (Self::Extension { size, space: false, line }, b'\t' | b' '..=b'~' | 0x80..) => {
                Self::Extension { size, space: false, line: line + 1 }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Line { bytes: 0 },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { size: None, line: 0 },
            (Self::Line { .. }, b'\r') => Self::EndLf,
            (Self::Trailer { bytes }, b'\r') => Self::TrailerLf { bytes },
            (Self::Line { bytes } | Self::Trailer { bytes }, b'\t' | b' '..=b'~' | 0x80..) => {
                Self::Trailer { bytes: bytes + 1 }
            }
            (Self::TrailerLf { bytes }, b'\n') => Self::Line { bytes: bytes + 2 },
            (Self::EndLf, b'\n') => Self::End,
            _ => return None,
        };
        let framing = match next {
            Self::Size { line, .. } | Self::Extension { line, .. } => line,
            Self::Line { bytes } | Self::Trailer { bytes } => bytes,
            _ => 0,
        };
        (framing <= MAX_CHUNK_FRAMING).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body_of(bytes: &[u8]) -> Head {
        head(bytes).expect("a valid head").expect("a complete head").0
    }

    fn refused(request: &str) -> u16 {
        head(request.as_bytes()).expect_err(request).status.as_u16()
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        let plain = body_of(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET");
        assert_eq!((plain.length, plain.body, plain.closes), (27, Body::Sized(0), false));
        let sized = body_of(b"PUT / HTTP/1.1\r\nhost: x\r\nCONTENT-LENGTH: 12\r\nexpect: 100-Continue\r\n\r\n");
        assert_eq!((sized.body, sized.expects), (Body::Sized(12), true));
        let closing = body_of(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: te, Close\r\n\r\n");
        assert!(closing.closes && body_of(b"GET / HTTP/1.0\r\n\r\n").closes);
        assert!(!body_of(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").closes);
        assert!(head(b"GET / HTTP/1.1\r\nHost: x\r\n").expect("no error").is_none());
    }

    #[test]
    fn ambiguous_and_foreign_heads_are_refused() {
        for (request, status) in [
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("GET / HTTP/3\r\nHost: a\r\n\r\n", 505),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
            ("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}", 400),
        ] {
            assert_eq!(refused(request), status, "{request:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(120));
        assert_eq!(refused(&many), 431);
        assert_eq!(refused(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000))), 414);
    }

    #[test]
    fn an_upgrade_is_found_for_blanking_and_nothing_else() {
        let request =
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n";
        let found = body_of(request).upgrade;
        let words: Vec<_> = found.into_iter().map(|range| String::from_utf8_lossy(&request[range])).collect();
        assert_eq!(words, [" Upgrade"]);
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n";
        let found = body_of(request).upgrade;
        let words: Vec<_> = found.into_iter().map(|range| String::from_utf8_lossy(&request[range])).collect();
        assert_eq!(words, ["upgrade", "WebSocket"]);
    }

    fn chunked() -> Body {
        Body::Chunked(Chunks::Size { size: None, line: 0 })
    }

    #[test]
    fn malformed_chunks_are_found_where_they_begin_to_be_wrong() {
        for (bytes, at) in [
            ("zz\r\n", 0),
            ("-3\r\n", 0),
            ("0x3\r\n", 1),
            ("\r\n", 0),
            ("3 4\r\n", 2),
            ("fffffffffffffffff\r\n", 16),
            ("3\nabc", 1),
            ("3\r\nabcd", 6),
            ("3\r\nabc\r\n\r\n", 8),
            ("3;a\u{0}\r\n", 3),
            ("0\r\nA: b\n", 7),
        ] {
            let mut body = chunked();
            assert_eq!(body.take(bytes.as_bytes()), Err(Malformed { at }), "{bytes:?}");
        }
        let endless = format!("3;{}", "x".repeat(MAX_CHUNK_FRAMING));
        assert!(chunked().take(endless.as_bytes()).is_err());
    }

    proptest! {
        /// Wherever packets split a request, its end is the same byte.
        #[test]
        fn the_end_of_a_body_does_not_depend_on_packets(
            sizes in prop::collection::vec(1_usize..600, 0..5),
            extension in prop::sample::select(vec!["", ";a=b", " ", " ;q=\"x\""]),
            trailer in prop::sample::select(vec!["", "X-Sum: 1\r\n", "A: b\r\nC: d\r\n"]),
            cuts in prop::collection::vec(0_usize..4000, 0..8),
        ) {
            let mut bytes = Vec::new();
            for size in &sizes {
                bytes.extend(format!("{size:x}{extension}\r\n").bytes());
                bytes.extend(vec![b'\r'; *size]);
                bytes.extend(b"\r\n");
            }
            bytes.extend(format!("0{extension}\r\n{trailer}\r\n").bytes());
            let end = bytes.len();
            bytes.extend(b"GET / HTTP/1.1\r\n");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let (mut body, mut taken) = (chunked(), 0);
            for pair in cuts.windows(2) {
                taken += body.take(&bytes[pair[0]..pair[1]]).expect("valid chunks");
            }
            prop_assert!(body.is_complete());
            prop_assert_eq!(taken, end);
        }

        /// No bytes make the parser panic or take more than there is.
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = head(&bytes);
            let taken = chunked().take(&bytes).unwrap_or_else(|malformed| malformed.at);
            prop_assert!(taken <= bytes.len());
        }
    }
}
