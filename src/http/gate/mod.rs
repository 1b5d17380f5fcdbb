//! A layer between the socket and actix that lets one request at a time through.
//!
//! actix-http 3.20 reads ahead: it decodes a pipelined request while the answer to the one before is still being sent.
//! Then a `HEAD` behind a `GET` takes that `GET`'s body away, and a request behind a closing answer is executed although
//! RFC 9112 §9.6 forbids it. It has a deadline for the first header section only, sends `100 Continue` before a handler
//! could refuse, and answers a malformed chunk with silence. A [`Gate`] withholds bytes so that none of this can happen:
//! it delivers a request up to its end, and the next one after the answer. It changes no byte except that it blanks
//! what asks for another protocol (`framing::Head::upgrade`).
//!
//! What was requested before may be answered here, by a [`Shortcut`]: actix is then not involved, which doubles the
//! throughput of small downloads.

mod answer;
mod exchange;
mod framing;
mod plain_get;

pub use answer::one_at_a_time;
pub use exchange::Exchange;
pub use framing::Refusal;
pub use plain_get::PlainGet;

use bytes::{Buf, BytesMut};
use framing::Body;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The most bytes that are read ahead while a request is being answered.
const READ_AHEAD: usize = 8 << 10;
/// How much room is made for each read of a header section.
const READ_SIZE: usize = 2 << 10;
/// The most bytes of empty lines before a request. Each one makes actix wait anew for the end of the keep-alive time, so
/// a client could stay connected without ever sending a request.
const MAX_EMPTY_LINES: usize = 8;
/// How long the rest of what a client sends is discarded after the last answer. If the socket were closed with unread
/// bytes in it, the kernel would reset the connection, and the client might never see that answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
/// What actix writes when a client waits for it, and what the gate holds back until the body is wanted.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What may be read from the connection now.
enum Phase {
    /// A header section.
    Head,
    /// The rest of the request's body.
    Body(Body),
    /// Nothing until the request is answered.
    Answer,
    /// Nothing any more.
    Closed,
}

/// Where the `100 Continue` of a request is.
enum Continue {
    /// None is expected, or it was sent.
    None,
    /// actix has yet to write it.
    Expected,
    /// actix wrote it, and the gate holds it back.
    Held,
    /// These bytes of it have yet to be written.
    Sending(&'static [u8]),
}

/// Answers requests before actix sees them.
pub trait Shortcut {
    /// Writes a whole answer, after which the connection stays open; or writes nothing, and returns false.
    fn answer(&self, request: &PlainGet<'_>, client: IpAddr, out: &mut BytesMut) -> bool;
}

/// How long a connection may use the shortcut before a request goes through actix again, which would otherwise consider
/// the connection idle and close it after its keep-alive time.
const SHORTCUT_FOR: Duration = Duration::from_secs(10);

/// A connection that lets one request at a time through.
pub struct Gate<T> {
    io: T,
    exchange: Exchange,
    phase: Phase,
    /// Bytes from the client that were not delivered yet; the first `cleared` of them may be.
    held: BytesMut,
    cleared: usize,
    /// How many of the held bytes were found to be an incomplete header section.
    partial: usize,
    /// How many bytes of empty lines came before it.
    empty_lines: usize,
    /// The client sends nothing more.
    ended: bool,
    /// The connection closes after this answer, because its request asks for it.
    closes: bool,
    /// The answer's head was not written yet, and may say that it is the last one: actix decides so by itself when it
    /// answers before it has read all of a body.
    may_close: bool,
    /// The socket accepted fewer bytes of an answer than there are.
    blocked: bool,
    continues: Continue,
    /// How long a header section may take.
    deadline: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The gate's own answer before it closes, as far as it isn't written yet.
    last_words: BytesMut,
    /// Whether the client may still be sending when the connection closes.
    lingers: bool,
    linger: Option<Pin<Box<Sleep>>>,
    /// Who may answer before actix does, and the client that they answer.
    shortcut: Option<(Arc<dyn Shortcut + Send + Sync>, IpAddr)>,
    /// When actix last got a request.
    delivered: Option<Instant>,
    /// The answer of the shortcut, as far as it isn't written yet.
    answer: BytesMut,
    /// Dropped with the connection.
    _counted: Box<dyn std::any::Any>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Gate<T> {
    /// A gate for a new connection. Each header section may take as long as `deadline`, the first one counted from now.
    /// `counted` is dropped with the connection.
    pub fn new(io: T, deadline: Duration, counted: impl std::any::Any) -> Self {
        Self {
            io,
            exchange: Exchange::default(),
            phase: Phase::Head,
            held: BytesMut::new(),
            cleared: 0,
            partial: 0,
            empty_lines: 0,
            ended: false,
            closes: false,
            may_close: false,
            blocked: false,
            continues: Continue::None,
            deadline,
            timer: Some(Box::pin(tokio::time::sleep(deadline))),
            last_words: BytesMut::new(),
            lingers: false,
            linger: None,
            shortcut: None,
            delivered: None,
            answer: BytesMut::new(),
            _counted: Box::new(counted),
        }
    }

    /// A gate that answers with this refusal and closes, whatever the client sends.
    pub fn refusing(io: T, refusal: Refusal) -> Self {
        let mut gate = Self::new(io, LINGER, ());
        gate.last_words = answer::last_words(refusal);
        gate.close();
        gate
    }

    /// Lets a shortcut answer the requests of this client.
    #[must_use]
    pub fn with_shortcut(mut self, shortcut: Option<Arc<dyn Shortcut + Send + Sync>>, client: IpAddr) -> Self {
        self.shortcut = shortcut.map(|shortcut| (shortcut, client));
        self
    }

    /// The state that the gate shares with the handling of its requests.
    pub fn exchange(&self) -> Exchange {
        self.exchange.clone()
    }

    /// Refuses what came instead of a request.
    fn refuse(&mut self, refusal: Refusal) {
        metrics::counter!("packhouse_unreadable_requests_total", "status" => refusal.status.as_str().to_owned())
            .increment(1);
        self.last_words = answer::last_words(refusal);
        self.close();
    }

    /// Delivers nothing more: actix then closes the connection, after the answer if one is under way.
    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.lingers |= !self.ended;
    }

    /// Reads more bytes into `held`, and returns whether any came.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        let mut chunk = [0; READ_SIZE];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))?;
        self.held.extend_from_slice(chunk.filled());
        self.ended = chunk.filled().is_empty();
        Poll::Ready(Ok(!self.ended))
    }

    /// Reads a header section, and clears it for delivery with what is there of its body.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Some clients send an empty line after a body (RFC 9112 §2.2).
        while matches!(self.held.first(), Some(b'\r' | b'\n')) {
            self.held.advance(1);
            self.empty_lines += 1;
        }
        if self.empty_lines > MAX_EMPTY_LINES {
            self.refuse(answer::EMPTY);
            return Poll::Ready(Ok(()));
        }
        let seen = std::mem::replace(&mut self.partial, self.held.len());
        let new = self.held.get(seen..).unwrap_or_default();
        if !new.is_empty() {
            // Only a line feed can complete a header section, so bytes that trickle in are not read again and again.
            if seen == 0 || new.contains(&b'\n') || self.held.len() >= framing::MAX_HEAD {
                let full = self.held.len() >= framing::MAX_HEAD;
                let found = framing::head(&self.held).and_then(|head| match head {
                    None if full => Err(framing::TOO_LARGE),
                    head => Ok(head),
                });
                let partial = matches!(found, Ok(None));
                match found {
                    Ok(Some((head, plain))) => {
                        let is_recent = self.delivered.is_some_and(|at| at.elapsed() < SHORTCUT_FOR);
                        let plain = plain.filter(|_| is_recent && !head.closes && head.body.is_complete());
                        let answered = plain.zip(self.shortcut.as_ref()).is_some_and(|(plain, (shortcut, client))| {
                            shortcut.answer(&plain, *client, &mut self.answer)
                        });
                        if answered {
                            self.held.advance(head.length);
                            (self.partial, self.empty_lines, self.timer) = (0, 0, None);
                        } else {
                            self.begin(head);
                        }
                    }
                    Ok(None) => {}
                    Err(refusal) => self.refuse(refusal),
                }
                if !partial {
                    return Poll::Ready(Ok(()));
                }
            }
            if self.timer.is_none() {
                self.timer = Some(Box::pin(tokio::time::sleep(self.deadline)));
            }
        }
        if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            self.refuse(answer::TOO_SLOW);
        } else if !ready!(self.read_more(cx))? {
            self.close();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the rest of the shortcut's answer.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.advance(written);
            if self.answer.is_empty() {
                // An idle connection keeps no memory.
                self.answer = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self, head: framing::Head) {
        let framing::Head { length, mut body, closes, expects, upgrade } = head;
        for range in upgrade {
            if let Some(bytes) = self.held.get_mut(range) {
                bytes.fill(b' ');
            }
        }
        self.exchange.begin();
        self.delivered = self.shortcut.is_some().then(Instant::now);
        (self.partial, self.empty_lines, self.timer, self.closes) = (0, 0, None, closes);
        self.may_close = !body.is_complete();
        self.continues = if expects && !body.is_complete() { Continue::Expected } else { Continue::None };
        let rest = self.held.get(length..).unwrap_or_default();
        let taken = body.take(rest);
        self.cleared = length + *taken.as_ref().unwrap_or_else(|malformed| &malformed.at);
        self.phase = Phase::Body(body);
        self.after_body(taken.is_err());
    }

    /// Goes on when more of a body was taken.
    fn after_body(&mut self, malformed: bool) {
        if malformed {
            self.exchange.set_malformed();
            self.close();
        } else if matches!(&self.phase, Phase::Body(body) if body.is_complete()) {
            self.phase = Phase::Answer;
        }
    }

    /// Reads a part of a body into the reader's buffer. What belongs to the next request stays here.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Phase::Body(body) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            self.ended = true;
            self.close();
            return Poll::Ready(Ok(()));
        }
        let taken = body.take(new);
        let malformed = taken.is_err();
        let taken = taken.unwrap_or_else(|malformed| malformed.at);
        self.held.extend_from_slice(new.get(taken..).unwrap_or_default());
        buf.set_filled(before + taken);
        self.after_body(malformed);
        Poll::Ready(Ok(()))
    }

    /// Waits for the answer. Reads a little ahead, so that the end of the connection is noticed.
    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An answer that the client doesn't read is not followed by another one.
        if !self.blocked && self.exchange.is_answered() {
            if self.closes || self.exchange.closes() {
                self.close();
            } else {
                self.phase = Phase::Head;
            }
            return Poll::Ready(Ok(()));
        }
        self.exchange.wake_when_answered(cx.waker());
        if self.held.len() >= READ_AHEAD {
            return Poll::Pending;
        }
        if !ready!(self.read_more(cx))? {
            if !self.held.is_empty() {
                return Poll::Pending;
            }
            self.phase = Phase::Closed;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all of `100 Continue` once the handler wants the body.
    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.continues, Continue::Held) && self.exchange.wants_body() {
            self.continues = Continue::Sending(CONTINUE);
        }
        while let Continue::Sending(rest) = &mut self.continues {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            match rest.get(written..) {
                Some(left) if written > 0 && !left.is_empty() => *rest = left,
                Some(_) if written > 0 => self.continues = Continue::None,
                _ => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.cleared > 0 {
                let now = this.cleared.min(buf.remaining());
                buf.put_slice(this.held.get(..now).unwrap_or_default());
                this.held.advance(now);
                this.cleared -= now;
                return Poll::Ready(Ok(()));
            }
            match this.phase {
                Phase::Head => {
                    ready!(this.poll_answer(cx))?;
                    ready!(this.poll_head(cx))?;
                }
                Phase::Body(_) => return this.poll_body(cx, buf),
                Phase::Answer => ready!(this.poll_answered(cx))?,
                Phase::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if matches!(this.continues, Continue::Expected) && buf.starts_with(CONTINUE) {
            this.continues = Continue::Held;
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        if matches!(this.continues, Continue::Held) {
            // The answer itself is there: too late to ask for the body.
            this.continues = Continue::None;
        }
        ready!(this.poll_continue(cx))?;
        if std::mem::take(&mut this.may_close) && answer::is_last(buf) {
            this.exchange.set_closes();
        }
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        let was_blocked = std::mem::replace(&mut this.blocked, written.is_pending());
        if was_blocked && !this.blocked {
            this.exchange.wake();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_continue(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_answer(cx))?;
        while !this.last_words.is_empty() {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, &this.last_words))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.last_words.advance(written);
        }
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if !this.lingers {
            return Poll::Ready(Ok(()));
        }
        let over = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER))).as_mut().poll(cx);
        while over.is_pending() && ready!(this.read_more(cx)).unwrap_or(false) {
            this.held.clear();
        }
        Poll::Ready(Ok(()))
    }
}
