//! Reading a blob from a bucket: a task asks for its bytes and keeps some of them ready, while the reader verifies and
//! sends earlier ones.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::bucket::{S3, within};
use super::client::{away, has_no_such_range};
use crate::blocking::network;
use crate::storage::error::StoreError;
use crate::storage::key::StorageKey;
use crate::storage::stored::Stored;

/// How many pieces are read ahead, of up to 400 KiB each: a client that never reads holds no more. The system's buffer
/// of the connection has some more bytes ready.
const AHEAD: usize = 8;
/// How many times in a row a transfer may break off without a byte in between.
const BREAKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// The bytes of a blob, in order. Reading at another position begins anew.
pub(in crate::storage) struct Feed {
    bucket: S3,
    key: StorageKey,
    size: u64,
    /// Up to which position bytes will be read.
    until: u64,
    position: u64,
    pieces: VecDeque<Bytes>,
    ready: usize,
    fetching: Option<Fetching>,
}

impl Feed {
    pub(in crate::storage) fn new(bucket: S3, blob: &Stored) -> Self {
        let (key, size) = (blob.key, blob.size);
        Self { bucket, key, size, until: size, position: 0, pieces: VecDeque::new(), ready: 0, fetching: None }
    }

    /// Announces up to which position bytes will be read.
    pub(in crate::storage) fn expect(&mut self, until: u64) {
        self.until = until.min(self.size);
        self.fetching = None;
    }

    /// Reads exactly `length` bytes.
    pub(in crate::storage) async fn read_at(&mut self, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let end = offset.saturating_add(length as u64);
        if end > self.size {
            return Err(StoreError::Damaged(self.key));
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        if self.fetching.is_none() || offset != self.position || end > self.until {
            self.until = self.until.max(end);
            self.begin(offset)?;
        }
        while self.ready < length {
            let next = match &mut self.fetching {
                Some(fetching) => fetching.pieces.recv().await,
                None => None,
            };
            let piece = next.ok_or_else(|| StoreError::Away(io::Error::other("the transfer ended early")))??;
            self.ready += piece.len();
            self.pieces.push_back(piece);
        }
        Ok(self.take(length))
    }

    fn begin(&mut self, offset: u64) -> Result<(), StoreError> {
        (self.pieces, self.ready, self.position) = (VecDeque::new(), 0, offset);
        let (sender, pieces) = mpsc::channel(AHEAD);
        let fetch = Fetch { bucket: self.bucket.clone(), key: self.key, size: self.size, rest: offset..self.until };
        self.fetching = Some(Fetching { pieces, task: network()?.spawn(fetch.run(sender)) });
        Ok(())
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.ready -= length;
        self.position += length as u64;
        let mut bytes = BytesMut::with_capacity(length);
        while let Some(mut piece) = self.pieces.pop_front() {
            let wanted = (length - bytes.len()).min(piece.len());
            bytes.extend_from_slice(piece.get(..wanted).unwrap_or_default());
            piece.advance(wanted);
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
            if bytes.len() == length {
                break;
            }
        }
        bytes.freeze()
    }
}

/// The task that reads ahead. It ends when this is dropped.
struct Fetching {
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
    task: JoinHandle<()>,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why an answer has not all bytes.
enum Broken {
    /// It broke off: another may have the rest.
    Off(StoreError),
    /// There is no use in asking again.
    Final(StoreError),
}

struct Fetch {
    bucket: S3,
    key: StorageKey,
    size: u64,
    rest: Range<u64>,
}

impl Fetch {
    /// Sends the bytes of the range. After a break it continues at the next byte, a few times.
    async fn run(mut self, sender: mpsc::Sender<Result<Bytes, StoreError>>) {
        let mut breaks = 0;
        while !self.rest.is_empty() {
            let before = self.rest.start;
            let Err(error) = self.once(&sender).await else { continue };
            breaks = if self.rest.start == before { breaks + 1 } else { 1 };
            let error = match error {
                Broken::Off(error) if breaks < BREAKS && !sender.is_closed() => error,
                Broken::Off(error) | Broken::Final(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
            tracing::warn!(%error, blob = %self.key, at = self.rest.start, "reading from the object store again");
            tokio::time::sleep(PAUSE * breaks).await;
        }
    }

    async fn once(&mut self, sender: &mpsc::Sender<Result<Bytes, StoreError>>) -> Result<(), Broken> {
        let mut stream = self.ask().await.map_err(Broken::Final)?.into_stream();
        while let Some(piece) = within(self.bucket.0.patience, stream.next()).await.map_err(Broken::Off)? {
            let piece = piece.map_err(|error| Broken::Off(away(&error)))?;
            self.rest.start = self.rest.start.saturating_add(piece.len() as u64);
            if self.rest.start > self.rest.end {
                return Err(Broken::Final(StoreError::Damaged(self.key)));
            }
            if sender.send(Ok(piece)).await.is_err() {
                return Err(Broken::Final(StoreError::Away(io::Error::other("nobody reads the rest"))));
            }
        }
        let ended = || Broken::Off(StoreError::Away(io::Error::other("the answer ended early")));
        if self.rest.is_empty() { Ok(()) } else { Err(ended()) }
    }

    /// Asks for the rest, several times if the store fails.
    async fn ask(&self) -> Result<GetResult, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(self.rest.clone())), ..GetOptions::default() };
        let path = self.bucket.blob(&self.key);
        match self.bucket.in_time(self.bucket.0.objects.get_opts(&path, options)).await? {
            Ok(answer) if answer.meta.size == self.size && answer.range == self.rest => Ok(answer),
            Ok(_) => Err(StoreError::Damaged(self.key)),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::Missing(self.key)),
            Err(error) if has_no_such_range(&error) => Err(StoreError::Damaged(self.key)),
            Err(error) => Err(away(&error)),
        }
    }
}
